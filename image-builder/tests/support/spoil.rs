//! JSON that is nearly right: a value put for another, or a byte changed.

use content::Digest;
use image_builder::oci::media_type;
use serde_json::{Value, json};

/// One change: which value, and what becomes of it.
pub(crate) type Change = (u16, u8);

/// How many values there are in `value`, itself among them.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(all) => all.iter().map(count).sum(),
        Value::Object(all) => all.values().map(count).sum(),
        _ => 0,
    }
}

/// Puts `new` for the value number `left`, in the order in which they are counted.
fn put(value: &mut Value, left: &mut usize, new: &Value) {
    if *left == 0 {
        *value = new.clone();
        *left = usize::MAX;
        return;
    }
    *left -= 1;
    let inner: Vec<&mut Value> = match value {
        Value::Array(all) => all.iter_mut().collect(),
        Value::Object(all) => all.values_mut().collect(),
        _ => return,
    };
    for value in inner {
        put(value, left, new);
        if *left == usize::MAX {
            return;
        }
    }
}

/// What is put for a value: other types, other numbers, other digests, much of something.
fn odd(which: u8, whole: &Value) -> Value {
    let deep = (0..60).fold(json!(1), |inner, _| json!([inner]));
    match which % 24 {
        0 => Value::Null,
        1 => json!([]),
        2 => json!({}),
        3 => json!(""),
        4 => json!(0),
        5 => json!(-1),
        6 => json!(u64::MAX),
        7 => json!(u64::MAX - 1),
        8 => json!(1.5e300),
        9 => json!(true),
        10 => json!(Digest::of(b"")),
        11 => json!("sha256:zz"),
        12 => json!("sha512:00"),
        13 => json!(media_type::OCI_INDEX),
        14 => json!(media_type::NYDUS_BLOB),
        15 => json!(media_type::NYDUS_MANIFEST),
        16 => json!({"containerd.io/snapshot/nydus-bootstrap": "true"}),
        17 => json!({"containerd.io/snapshot/nydus-blob": "true"}),
        18 => json!({"os": "linux", "architecture": "amd64", "variant": ""}),
        19 => json!("x".repeat(5000)),
        20 => json!("../../etc/passwd\u{0}\n\u{1b}[2J"),
        21 => deep,
        22 => whole.clone(),
        // More than anybody needs of what is there already.
        _ => match whole.get("layers").or_else(|| whole.get("manifests")) {
            Some(Value::Array(all)) => Value::Array(all.iter().cycle().take(40).cloned().collect()),
            _ => json!([whole, whole]),
        },
    }
}

/// `good` with these changes, then a byte of its text changed if that is asked for.
pub(crate) fn spoilt(good: &Value, changes: &[Change], byte: Option<Change>) -> Vec<u8> {
    let mut value = good.clone();
    for (at, which) in changes.iter().take(4) {
        let new = odd(*which, good);
        let mut left = usize::from(*at) % count(&value);
        put(&mut value, &mut left, &new);
    }
    let mut bytes = value.to_string().into_bytes();
    if let Some((at, byte)) = byte {
        let at = usize::from(at) % bytes.len();
        bytes[at] = byte;
    }
    bytes
}
