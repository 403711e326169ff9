//! Sizes and rates as people write them: `50GiB`, `100MiB/s`, `200Mbit/s`.
//!
//! Both print a form that reads back as exactly the same number.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The units of bytes; the first of each scale that divides a number exactly prints it.
const BYTES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// The units of bits, as network links are sold.
const BITS: [(&str, u64); 4] =
    [("Gbit", 1_000_000_000), ("Mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];

/// A number of bytes: `50GiB`, `1.5MB`, `4096`, `0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// Bytes per second at most: `100MiB/s`, `200Mbit/s`; `0` and `unlimited` mean no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rate(Option<NonZeroU64>);

/// The text is not a size or not a rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a size.
    #[error("{0:?} is not a size; write it like 50GiB, 512MiB, 10GB or 4096")]
    Size(String),
    /// Not a rate.
    #[error("{0:?} is not a rate; write it like 100MiB/s, 200Mbit/s or unlimited")]
    Rate(String),
}

impl ByteSize {
    /// So many bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many mebibytes.
    #[must_use]
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// So many gibibytes.
    #[must_use]
    pub const fn gib(gibibytes: u64) -> Self {
        Self(gibibytes << 30)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self(None);

    /// So many bytes a second; 0 means no limit.
    #[must_use]
    pub const fn bytes_per_second(bytes: u64) -> Self {
        Self(NonZeroU64::new(bytes))
    }

    /// The limit in bytes a second, if there is one.
    #[must_use]
    pub const fn limit(self) -> Option<NonZeroU64> {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        amount(text, &BYTES).map(Self).ok_or_else(|| UnitError::Size(text.to_owned()))
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let trimmed = text.trim();
        if trimmed.eq_ignore_ascii_case("unlimited") {
            return Ok(Self::UNLIMITED);
        }
        let amount_of = |text| {
            let in_bytes = amount(text, &BYTES);
            in_bytes.or_else(|| amount(text, &BITS).map(|bits| bits.div_ceil(8)))
        };
        let bytes = match trimmed.strip_suffix("/s") {
            Some(rest) => amount_of(rest),
            None if trimmed == "0" => Some(0),
            None => None,
        };
        bytes.map(Self::bytes_per_second).ok_or_else(|| UnitError::Rate(text.to_owned()))
    }
}

/// `12`, `12MiB`, `1.5 MiB`: a decimal number and a unit of the table. Exact: no floating point.
fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim_start());
    let scale = if unit.is_empty() {
        1
    } else {
        units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    whole.checked_add(part_of(scale, fraction)?)
}

/// `0.fraction` of `scale`, rounded down.
fn part_of(scale: u64, fraction: &str) -> Option<u64> {
    let digits = u32::try_from(fraction.len()).ok()?;
    let numerator = u128::from(fraction.parse::<u64>().ok()?);
    let part = u128::from(scale) * numerator / 10u128.checked_pow(digits)?;
    u64::try_from(part).ok()
}

/// The shortest exact form: a multiple of the greatest unit of the table that divides `value`.
fn exact(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, scale): &&(&str, u64)| value != 0 && value.is_multiple_of(*scale);
    let (unit, scale) = units.iter().find(fits).unwrap_or(&("B", 1));
    format!("{}{unit}", value / scale)
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&exact(self.0, &BYTES))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(limit) = self.0 else {
            return f.pad("unlimited");
        };
        let bytes = limit.get();
        // A multiple of a megabit that is no multiple of a mebibyte was meant as bits.
        let as_bits = bytes % (1 << 20) != 0 && bytes.is_multiple_of(125_000);
        match bytes.checked_mul(8).filter(|_| as_bits) {
            Some(bits) => f.pad(&(exact(bits, &BITS) + "/s")),
            None => f.pad(&(exact(bytes, &BYTES) + "/s")),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expects = Expects("a size like \"50GiB\", or a number of bytes");
        let text = deserializer.deserialize_any(expects)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expects = Expects("a rate like \"100MiB/s\", 0 or \"unlimited\"");
        let text = deserializer.deserialize_any(expects)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Takes a string, or a bare number as its text.
struct Expects(&'static str);

impl Visitor<'_> for Expects {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<String, E> {
        u64::try_from(number)
            .map(|number| number.to_string())
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_exactly() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1B", 1),
            ("50GiB", 50 << 30),
            ("50 gib", 50 << 30),
            ("1.5MiB", 3 << 19),
            ("10GB", 10_000_000_000),
            ("0.001 kB", 1),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize::bytes(bytes)), "{text}");
        }
        for wrong in ["", "GiB", "-1", "1.2.3MB", ".", "1.", "1XiB", "99999999TiB", "1e9", "1MiB/s"]
        {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_bytes_or_bits() {
        for (text, bytes) in [
            ("100MiB/s", 100 << 20),
            ("200Mbit/s", 25_000_000),
            ("1Gbit/s", 125_000_000),
            ("1bit/s", 1),
            ("0", 0),
            ("unlimited", 0),
            ("Unlimited", 0),
            ("500/s", 500),
        ] {
            assert_eq!(text.parse(), Ok(Rate::bytes_per_second(bytes)), "{text}");
        }
        for wrong in ["", "100MiB", "fast", "-5MB/s", "5", "5MB/h"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_reads_back_the_same() {
        for bytes in [0, 1, 999, 1000, 1024, 125_000, 25_000_000, 50 << 30, 123_456_789, u64::MAX] {
            let size = ByteSize::bytes(bytes);
            assert_eq!(size.to_string().parse(), Ok(size));
            let rate = Rate::bytes_per_second(bytes);
            assert_eq!(rate.to_string().parse(), Ok(rate));
        }
        assert_eq!(ByteSize::gib(50).to_string(), "50GiB");
        assert_eq!(Rate::bytes_per_second(25_000_000).to_string(), "200Mbit/s");
        assert_eq!(Rate::bytes_per_second(100 << 20).to_string(), "100MiB/s");
        assert_eq!(Rate::UNLIMITED.to_string(), "unlimited");
    }

    #[test]
    fn configuration_takes_text_or_numbers() {
        #[derive(Deserialize, Debug)]
        struct Limits {
            quota: ByteSize,
            upload: Rate,
        }
        let limits: Limits = toml::from_str("quota = 4096\nupload = \"1Gbit/s\"").unwrap();
        assert_eq!(limits.quota.as_u64(), 4096);
        assert_eq!(limits.upload.limit().map(NonZeroU64::get), Some(125_000_000));
        let told = toml::from_str::<Limits>("quota = -1\nupload = 0")
            .expect_err("a negative size")
            .to_string();
        assert!(told.contains("50GiB"), "{told}");
    }
}
