//! `Content-Range: bytes 0-99/1000`, as strictly as RFC 9110 writes it.

/// What a `Content-Range` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentRange {
    /// These bytes, the end exclusive, of so many, if that is known.
    Part { start: u64, end: u64, total: Option<u64> },
    /// None of what was asked for; there are so many, if that is known.
    Unsatisfied { total: Option<u64> },
}

impl ContentRange {
    /// Reads the header's value.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
        let total = match total {
            "*" => None,
            digits => Some(number(digits)?),
        };
        if range == "*" {
            return Some(Self::Unsatisfied { total });
        }
        let (first, last) = range.split_once('-')?;
        let (start, end) = (number(first)?, number(last)?.checked_add(1)?);
        let sound = start < end && total.is_none_or(|total| end <= total);
        sound.then_some(Self::Part { start, end, total })
    }
}

/// Digits only: `u64::from_str` would take a plus sign.
pub(crate) fn number(digits: &str) -> Option<u64> {
    let only_digits = digits.bytes().all(|c| c.is_ascii_digit());
    only_digits.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_the_specification() {
        let part = |start, end, total| Some(ContentRange::Part { start, end, total });
        assert_eq!(ContentRange::parse("bytes 0-99/1000"), part(0, 100, Some(1000)));
        assert_eq!(ContentRange::parse("bytes 5-5/*"), part(5, 6, None));
        assert_eq!(
            ContentRange::parse("bytes */47"),
            Some(ContentRange::Unsatisfied { total: Some(47) })
        );
    }

    #[test]
    fn nonsense_is_nothing() {
        for bad in [
            "",
            "bytes",
            "bytes 0-99",
            "items 0-9/10",
            "bytes 9-0/10",
            "bytes 0-10/10",
            "bytes +0-9/10",
            "bytes 0-9/-1",
            "bytes 0-18446744073709551615/*",
            "bytes 0-9/99999999999999999999",
        ] {
            assert_eq!(ContentRange::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_read_makes_sense() {
        bolero::check!().with_type::<(u64, u64, u64, String)>().for_each(
            |(first, last, total, junk)| {
                for value in
                    [format!("bytes {first}-{last}/{total}"), format!("bytes {junk}"), junk.clone()]
                {
                    if let Some(ContentRange::Part { start, end, total }) =
                        ContentRange::parse(&value)
                    {
                        assert!(start < end && total.is_none_or(|total| end <= total), "{value}");
                    }
                }
            },
        );
    }
}
