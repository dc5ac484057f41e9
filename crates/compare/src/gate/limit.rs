//! Amounts and limits as people write them: `64KiB`, `10_000`, `1%`, `off`.

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::fmt;
use std::str::FromStr;

/// Units of bytes. Those of a thousand and those of 1024.
const UNITS: [(&str, u64); 13] = [
    ("", 1),
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    // As the options of other tools have it.
    ("K", 1 << 10),
    ("k", 1000),
    ("M", 1 << 20),
    ("G", 1 << 30),
];

/// A number of bytes or calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount(pub u64);

/// By how much a number may grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// By a part of what it was.
    Percent(f64),
    /// By so many.
    Number(u64),
    /// By any number.
    Off,
}

impl Limit {
    /// Returns whether growth from `old` by `more` is within the limit.
    pub fn allows(self, old: u128, more: i128) -> bool {
        if more <= 0 {
            return true;
        }
        match self {
            Self::Off => true,
            Self::Number(most) => more <= i128::from(most),
            Self::Percent(percent) => more as f64 * 100.0 <= percent * old as f64,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent} %"),
            Self::Number(most) => f.write_str(&skipheap_text::grouped(*most)),
            Self::Off => f.write_str("any growth"),
        }
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim();
        let end = digits
            .find(|c: char| !c.is_ascii_digit() && c != '_' && c != '.')
            .unwrap_or(digits.len());
        let (number, unit) = digits.split_at(end);
        let unit = unit.trim();
        let factor = UNITS.iter().find(|(name, _)| *name == unit);
        let number = number.replace('_', "");
        let amount = factor.and_then(|&(_, factor)| match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(factor),
            // 1.5MiB
            Err(_) => {
                let bytes = number.parse::<f64>().ok()? * factor as f64;
                (factor > 1 && (0.0..9e15).contains(&bytes)).then_some(bytes.round() as u64)
            }
        });
        amount.map(Self).ok_or_else(|| {
            format!("`{text}` is not an amount: use a number, with a unit for bytes (64KiB, 2MB)")
        })
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "off" {
            return Ok(Self::Off);
        }
        match text.strip_suffix('%') {
            None => text
                .parse()
                .map(|Amount(most)| Self::Number(most))
                .map_err(|_| {
                    format!(
                        "`{text}` is not a limit: use `1%`, an amount such as `64KiB` or `1000`, or `off`"
                    )
                }),
            Some(number) => match number.trim().parse::<f64>() {
                Ok(percent) if percent >= 0.0 && percent.is_finite() => Ok(Self::Percent(percent)),
                _ => Err(format!("`{text}` is not a percentage")),
            },
        }
    }
}

/// A number of the file, or a text that is parsed.
struct Written<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String> + From<Amount>> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a text with a unit such as \"64KiB\"")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let amount = u64::try_from(number).map_err(|_| E::custom("it must not be negative"))?;
        Ok(Amount(amount).into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl From<Amount> for Limit {
    fn from(amount: Amount) -> Self {
        Self::Number(amount.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Written(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Written(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_have_units() {
        let amount = |text: &str| text.parse::<Amount>().map(|amount| amount.0).ok();
        for (text, expected) in [
            ("0", Some(0)),
            ("10_000", Some(10_000)),
            ("64KiB", Some(65_536)),
            ("64 KiB", Some(65_536)),
            ("2MB", Some(2_000_000)),
            ("1.5MiB", Some(1_572_864)),
            ("512K", Some(524_288)),
            ("", None),
            ("KiB", None),
            ("1.5", None),
            ("-1", None),
            ("1XB", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(amount(text), expected, "{text}");
        }
    }

    #[test]
    fn limits_are_parts_or_numbers() {
        let limit = |text: &str| text.parse::<Limit>().ok();
        assert_eq!(limit("1%"), Some(Limit::Percent(1.0)));
        assert_eq!(limit("0.5 %"), Some(Limit::Percent(0.5)));
        assert_eq!(limit("64KiB"), Some(Limit::Number(65_536)));
        assert_eq!(limit("off"), Some(Limit::Off));
        for text in ["", "x%", "-1%", "inf%", "many"] {
            assert_eq!(limit(text), None, "{text}");
        }
    }

    #[test]
    fn growth_up_to_the_limit_is_allowed() {
        let one = Limit::Percent(1.0);
        assert!(one.allows(1000, 10) && !one.allows(1000, 11));
        assert!(one.allows(0, 0) && !one.allows(0, 1));
        assert!(one.allows(1000, -500));
        let number = Limit::Number(5);
        assert!(number.allows(0, 5) && !number.allows(1000, 6));
        assert!(Limit::Off.allows(1, i128::MAX));
    }

    proptest! {
        #[test]
        fn any_text_is_understood_or_refused(text in "[0-9_.%KMGiB koff]{0,12}") {
            let _ = text.parse::<Amount>();
            let _ = text.parse::<Limit>();
        }
    }
}
