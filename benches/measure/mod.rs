//! Timing several things so that their ratios hold on a noisy machine: in rounds that are interleaved, by the median.

use std::time::{Duration, Instant};

const ROUNDS: usize = 15;

/// Something to measure, under the name the table uses.
pub struct Subject<'a> {
    pub name: &'static str,
    pub run: Box<dyn Fn() + 'a>,
}

/// Nanoseconds per call of each subject: the median of rounds that are interleaved.
pub fn measure(subjects: &[Subject<'_>]) -> Vec<f64> {
    let calls: Vec<u32> = subjects.iter().map(|subject| calls_for(&subject.run)).collect();
    let mut rounds = vec![Vec::new(); subjects.len()];
    for _ in 0..ROUNDS {
        for (at, subject) in subjects.iter().enumerate() {
            let start = Instant::now();
            (0..calls[at]).for_each(|_| (subject.run)());
            rounds[at].push(start.elapsed().as_secs_f64() * 1e9 / f64::from(calls[at]));
        }
    }
    rounds.into_iter().map(median).collect()
}

/// How many calls take about 20 ms, after as many to warm up.
fn calls_for(run: &dyn Fn()) -> u32 {
    let mut calls = 1;
    loop {
        let start = Instant::now();
        (0..calls).for_each(|_| run());
        if start.elapsed() > Duration::from_millis(10) {
            return calls * 2;
        }
        calls *= 2;
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// With `--callgrind SUBJECT N` runs that subject so often and nothing else, for counting instructions; whether it did.
pub fn only(subjects: &[Subject<'_>]) -> bool {
    let args: Vec<String> = std::env::args().collect();
    let Some(at) = args.iter().position(|arg| arg == "--callgrind") else { return false };
    let subject = subjects.iter().find(|subject| subject.name == args[at + 1]).expect("the name of a subject");
    (0..args[at + 2].parse().unwrap_or(1000_u32)).for_each(|_| (subject.run)());
    true
}
