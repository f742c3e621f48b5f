//! What is drawn: places of a ranking, pages, visitors.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::generator::contents::{Contents, Kind, Page};
use crate::generator::popularity::Popularity;
use crate::generator::scenario::{Scenario, Site};
use crate::generator::visitors::Visitor;

const DRAWS: usize = 200_000;

fn drawn(places: usize, exponent: f64) -> Vec<f64> {
    let (popularity, mut random) = (Popularity::new(places, exponent).unwrap(), StdRng::seed_from_u64(1));
    let mut counts = vec![0; places];
    for _ in 0..DRAWS {
        counts[popularity.draw(&mut random)] += 1;
    }
    counts.into_iter().map(|count: usize| count as f64 / DRAWS as f64).collect()
}

#[test]
fn the_second_place_is_drawn_half_as_often_as_the_first_and_the_tenth_a_tenth() {
    for exponent in [0.5, 1.0, 1.5] {
        let shares = drawn(100, exponent);
        let all: f64 = (1..=100).map(|place| f64::from(place).powf(-exponent)).sum();
        for place in [1, 2, 3, 10, 50, 100] {
            let expected = (place as f64).powf(-exponent) / all;
            // Five standard deviations of a count.
            let off = 5.0 * (expected / DRAWS as f64).sqrt();
            let share = shares[place - 1];
            assert!((share - expected).abs() < off, "{exponent}, place {place}: {share} instead of {expected}");
        }
    }
}

#[test]
fn with_the_exponent_0_all_places_are_alike() {
    for share in drawn(20, 0.0) {
        assert!((share - 0.05).abs() < 0.004, "{share}");
    }
}

#[test]
fn one_place_is_always_drawn_and_nonsense_is_refused() {
    assert_eq!(drawn(1, 1.0), [1.0]);
    assert_eq!(drawn(1, 10.0), [1.0]);
    assert!(Popularity::new(10, -1.0).is_err() && Popularity::new(10, f64::NAN).is_err());
    assert!(Popularity::new(0, 1.0).is_ok(), "an empty catalogue has no films, and no panics");
}

#[test]
fn pages_are_drawn_as_they_are_said_to_be() {
    let site = Site::open(&Scenario::usual()[0]).unwrap();
    let contents = Contents::read(&site.app, 1.0).unwrap();
    let mut random = StdRng::seed_from_u64(1);
    let (mut kinds, mut films) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..50_000 {
        let page = contents.any_page(&mut random);
        *kinds.entry(format!("{:?}", page.kind())).or_insert(0.0_f64) += 1.0 / 50_000.0;
        if let Page::Film(id) = page {
            assert!(contents.film(id).is_some());
            *films.entry(id).or_insert(0) += 1;
        }
    }
    for (kind, share) in [("Front", 0.2), ("Genre", 0.2), ("Film", 0.5), ("Watchlist", 0.1)] {
        assert!((kinds[kind] - share).abs() < 0.01, "{kind}: {}", kinds[kind]);
    }
    let mut counts: Vec<i32> = films.into_values().collect();
    counts.sort_unstable();
    let half: i32 = counts.iter().rev().take(100).sum();
    assert!(half > counts.iter().sum::<i32>() / 2 && counts.len() > 1000, "a few films get half of the visits");
}

#[test]
fn addresses_are_the_pages_they_lead_to() {
    let pages = [
        ("/", Page::Front, Kind::Front),
        ("/film/7", Page::Film(7), Kind::Film),
        ("/genre/drama", Page::Genre("drama".to_owned(), 1), Kind::Genre),
        ("/genre/drama?page=3", Page::Genre("drama".to_owned(), 3), Kind::Genre),
        ("/watchlist", Page::Watchlist, Kind::Watchlist),
        ("/film/7/edit", Page::Other("/film/7/edit".to_owned()), Kind::Other),
        ("/genre/drama?sort=1", Page::Other("/genre/drama?sort=1".to_owned()), Kind::Other),
        ("/api/genres", Page::Other("/api/genres".to_owned()), Kind::Other),
    ];
    for (path, page, kind) in pages {
        assert_eq!(Page::at(path), page);
        assert_eq!((page.path().as_str(), page.kind()), (path, kind));
    }
}

#[test]
fn those_who_sign_in_are_spread_evenly_over_the_ranking() {
    for (share, expected) in [(0.0, 0), (0.25, 25), (0.5, 50), (1.0, 100)] {
        let visitors = Visitor::all(100, share);
        let signed_in = |visitors: &[std::sync::Arc<Visitor>]| visitors.iter().filter(|one| one.signs_in).count();
        assert_eq!(signed_in(&visitors), expected);
        assert_eq!(signed_in(&visitors[..20]), expected / 5, "{share}");
    }
}

#[test]
fn no_name_is_the_beginning_of_another() {
    let names: Vec<String> = Visitor::all(1200, 1.0).iter().map(|visitor| visitor.name()).collect();
    assert_eq!((names[1].as_str(), names[10].as_str()), ("Reader-000001", "Reader-000010"));
    assert!(names.iter().all(|name| name.len() == names[0].len()));
}
