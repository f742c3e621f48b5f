//! How unevenly visits fall: the second of a ranking gets half as many as the first, the third a third, if the exponent
//! is 1 (Zipf's law).

use rand::Rng;
use rand::distr::Distribution;
use rand_distr::Zipf;

/// Draws places of a ranking.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Popularity(Zipf<f64>);

impl Popularity {
    /// A ranking of so many, at least one; with the exponent 0 all are alike.
    pub(crate) fn new(places: usize, exponent: f64) -> Result<Popularity, String> {
        let zipf = Zipf::new(places.max(1) as f64, exponent);
        zipf.map(Popularity).map_err(|error| format!("no Zipf distribution of exponent {exponent}: {error}"))
    }

    /// A place, the first being 0.
    pub(crate) fn draw(&self, random: &mut impl Rng) -> usize {
        (self.0.sample(random) as usize).saturating_sub(1)
    }
}
