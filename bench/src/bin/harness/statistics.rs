//! Medians and spreads.

/// Five numbers of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) lower_quartile: f64,
    pub(crate) median: f64,
    pub(crate) upper_quartile: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of these values, if there are any; quantiles are interpolated linearly.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let quantile = |share: f64| {
            let place = share * last as f64;
            let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Some(Self {
            min: quantile(0.0),
            lower_quartile: quantile(0.25),
            median: quantile(0.5),
            upper_quartile: quantile(0.75),
            max: quantile(1.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_numbers() {
        let spread = Spread::of([5.0, 1.0, 4.0, 2.0, 3.0]).expect("there are values");
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 3.0, 5.0));
        assert_eq!((spread.lower_quartile, spread.upper_quartile), (2.0, 4.0));
        assert_eq!(Spread::of([1.0, 2.0]).expect("there are values").median, 1.5);
        assert_eq!(Spread::of([7.0]).expect("there is one").max, 7.0);
        assert_eq!(Spread::of([]), None);
    }
}
