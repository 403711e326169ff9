//! What is said of files, in words and in JSON: names that are no text, modes, times.

use std::fmt::Write as _;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use tree::{Kind, Mode, Time};

/// Bytes that are most often text. In JSON a string, beside it the bytes in base64 if they are
/// not UTF-8 and the string says so only roughly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text(pub Vec<u8>);

impl Text {
    /// Readable, and safe on a terminal: what is not printable is escaped, as in Rust strings.
    #[must_use]
    pub fn escaped(&self) -> String {
        match std::str::from_utf8(&self.0) {
            Ok(text) => text.chars().fold(String::new(), |mut out, char| {
                if char.is_control() || char == '\\' {
                    out.extend(char.escape_default());
                } else {
                    out.push(char);
                }
                out
            }),
            Err(_) => self.0.escape_ascii().to_string(),
        }
    }
}

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &BASE64_STANDARD.encode(&self.0))?;
                map.end()
            }
        }
    }
}

/// An inode's kind: its letter in `ls -l`, and a word.
#[must_use]
pub const fn kind<C>(kind: &Kind<C>) -> (char, &'static str) {
    match kind {
        Kind::File(_) => ('-', "file"),
        Kind::Directory(_) => ('d', "directory"),
        Kind::Symlink(_) => ('l', "symlink"),
        Kind::CharDevice(_) => ('c', "char-device"),
        Kind::BlockDevice(_) => ('b', "block-device"),
        Kind::Fifo => ('p', "fifo"),
        Kind::Socket => ('s', "socket"),
    }
}

/// A mode as `ls -l` has it, without the letter of the kind.
#[must_use]
pub fn mode(mode: Mode) -> String {
    let bits = mode.bits();
    let mut out = String::with_capacity(9);
    for (shift, special, set, unset) in
        [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let three = bits >> shift;
        out.push(if three & 4 != 0 { 'r' } else { '-' });
        out.push(if three & 2 != 0 { 'w' } else { '-' });
        out.push(match (bits & special != 0, three & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    out
}

/// A moment as RFC 3339 has it, in UTC, with nanoseconds if it has any.
#[must_use]
pub fn time(time: Time) -> String {
    let (days, second) = (time.seconds().div_euclid(86_400), time.seconds().rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut out = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if time.nanoseconds() != 0 {
        // Writing to a string does not fail.
        let _ = write!(out, ".{:09}", time.nanoseconds());
    }
    out.push('Z');
    out
}

/// Year, month and day of the day so many days after 1970 began, in the Gregorian calendar.
///
/// Years begin in March here, so that the day that leap years add is the last of one; 400 of them
/// have 146 097 days.
const fn civil(days: i64) -> (i64, i64, i64) {
    let from_year_zero = days.saturating_add(719_468);
    let era = from_year_zero.div_euclid(146_097);
    let day_of_era = from_year_zero.rem_euclid(146_097);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era.saturating_mul(400);
    (if month <= 2 { year.saturating_add(1) } else { year }, month, day)
}

/// Bytes for people: `1.5 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    // Tenths, so that no floating point is needed.
    let mut tenths = u128::from(bytes) * 10 / 1024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        let at = |seconds, nanoseconds| time(Time::new(seconds, nanoseconds).unwrap());
        assert_eq!(at(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(at(-1, 5), "1969-12-31T23:59:59.000000005Z");
        assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_795_235_759, 576_126_547), "2026-11-21T04:35:59.576126547Z");
        assert_eq!(at(4_107_542_399, 0), "2100-02-28T23:59:59Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00Z");
        // Nothing overflows.
        let _ = (at(i64::MIN, 0), at(i64::MAX, 0));
    }

    #[test]
    fn modes_are_letters() {
        assert_eq!(mode(Mode::new(0o755)), "rwxr-xr-x");
        assert_eq!(mode(Mode::new(0o4755)), "rwsr-xr-x");
        assert_eq!(mode(Mode::new(0o7644)), "rwSr-Sr-T");
        assert_eq!(mode(Mode::new(0o1777)), "rwxrwxrwt");
    }

    #[test]
    fn names_are_safe_to_print() {
        assert_eq!(Text(b"a\x1b[1mb".to_vec()).escaped(), "a\\u{1b}[1mb");
        assert_eq!(Text("caf\u{e9}".into()).escaped(), "caf\u{e9}");
        assert_eq!(Text(b"caf\xe9".to_vec()).escaped(), "caf\\xe9");
        assert_eq!(serde_json::to_string(&Text(b"\xe9".to_vec())).unwrap(), r#"{"base64":"6Q=="}"#);
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(10 << 30), "10.0 GiB");
        assert_eq!(size(u64::MAX), "15.9 EiB");
    }
}
