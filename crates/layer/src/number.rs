//! Numbers as tar headers have them.
//!
//! Octal digits, spaces or NULs around them (POSIX.1-2017, pax, "ustar Interchange Format"); or,
//! where the first byte's highest bit is set, a big-endian two's complement number in the rest
//! (GNU and star, "base-256").

/// The number in a header's field; `None` if it is none, or does not fit.
#[must_use]
pub fn parse(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base256(field),
        _ => octal(field),
    }
}

/// The number in a field that cannot be negative.
#[must_use]
pub fn parse_unsigned(field: &[u8]) -> Option<u64> {
    parse(field).and_then(|number| u64::try_from(number).ok())
}

fn octal(field: &[u8]) -> Option<i64> {
    let blank = |byte: &u8| matches!(byte, 0 | b' ');
    let start = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
    let digits = field.get(start..)?;
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at_checked(end)?;
    // Digits after a gap are not the number's.
    if !rest.iter().all(blank) {
        return None;
    }
    digits.iter().try_fold(0_i64, |number, digit| match digit {
        b'0'..=b'7' => number.checked_mul(8)?.checked_add(i64::from(digit & 7)),
        _ => None,
    })
}

fn base256(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    // Bit 7 marks the format, bit 6 is the sign.
    let negative = first & 0x40 != 0;
    let top = if negative { i128::from(first | 0x80) - 256 } else { i128::from(first & 0x3f) };
    // At most 12 bytes: 96 bits fit well.
    let number = rest
        .iter()
        .try_fold(top, |number, byte| number.checked_mul(256)?.checked_add(i128::from(*byte)))?;
    i64::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_with_blanks_around() {
        for (field, number) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"        ", 0),
            (b"77777777777\0", 0o77_777_777_777),
            (b"777777777777", 0o777_777_777_777),
            (b"0000644\x00", 420),
        ] {
            assert_eq!(parse(field), Some(number), "{}", field.escape_ascii());
        }
        for bad in [&b"0000648\0"[..], b"12 34\0\0\0", b"-1\0\0\0\0\0\0", b"0x1f\0", b"+7\0"] {
            assert_eq!(parse(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn base256_of_either_sign() {
        assert_eq!(parse(b"\x80\0\0\0\0\0\0\x01\0\0\0\0"), Some(1 << 32));
        assert_eq!(parse(&[0xff; 12]), Some(-1));
        assert_eq!(parse(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0"), Some(-256));
        assert_eq!(parse_unsigned(&[0xff; 12]), None);
        assert_eq!(parse(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), Some(i64::MAX));
        assert_eq!(parse(b"\x80\0\0\0\x80\0\0\0\0\0\0\0"), None);
        assert_eq!(parse(b"\x81\0\0\0\0\0\0\0\0\0\0\0"), None);
        assert_eq!(parse(b"\x80\0\0\0\0\x20\0\0"), Some(0x20_0000));
    }
}
