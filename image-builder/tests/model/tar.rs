//! Tars as PAX (POSIX 1003.1-2001, with GNU's sparse files 0.1 and 1.0) and as GNU tar writes them.

use super::{Member, Sparse, What};

/// Which headers say what a plain one has no room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    /// Extended headers. The map of a sparse file is before its data (1.0) or among them (0.1).
    Pax { sparse_map_in_data: bool },
    /// GNU's long names and binary numbers, and its sparse headers; or zeros written out.
    Gnu { sparse: bool },
}

/// A layer of these members.
pub(crate) fn write(members: &[Member], dialect: Dialect) -> Vec<u8> {
    let mut out = Vec::new();
    for member in members {
        one(&mut out, member, dialect);
    }
    out.extend([0; 1024]);
    out
}

/// What a header says.
struct Header<'a> {
    name: &'a [u8],
    link: &'a [u8],
    kind: u8,
    mode: u16,
    ids: [u32; 2],
    size: u64,
    time: i64,
    device: (u32, u32),
    gnu: bool,
    sparse: Vec<u8>,
}

fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    field[..digits].copy_from_slice(format!("{value:0digits$o}").as_bytes());
}

/// Octal, or GNU's binary numbers where that has no room.
fn number(field: &mut [u8], value: i64, gnu: bool) {
    let room = 1_i64 << (3 * (field.len() - 1));
    if (0..room).contains(&value) {
        octal(field, value.unsigned_abs());
    } else if gnu {
        field.fill(if value < 0 { 0xff } else { 0 });
        let at = field.len() - 8;
        field[at..].copy_from_slice(&value.to_be_bytes()[..]);
        field[0] |= 0x80;
    } else {
        octal(field, 0);
    }
}

impl Header<'_> {
    fn block(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let short = |bytes: &[u8]| bytes[..bytes.len().min(100)].to_vec();
        let (name, link) = (short(self.name), short(self.link));
        block[..name.len()].copy_from_slice(&name);
        octal(&mut block[100..108], u64::from(self.mode));
        number(&mut block[108..116], i64::from(self.ids[0]), self.gnu);
        number(&mut block[116..124], i64::from(self.ids[1]), self.gnu);
        number(&mut block[124..136], i64::try_from(self.size).unwrap(), self.gnu);
        number(&mut block[136..148], self.time, self.gnu);
        block[148..156].fill(b' ');
        block[156] = self.kind;
        block[157..157 + link.len()].copy_from_slice(&link);
        block[257..265].copy_from_slice(if self.gnu { b"ustar  \0" } else { b"ustar\x0000" });
        octal(&mut block[329..337], u64::from(self.device.0));
        octal(&mut block[337..345], u64::from(self.device.1));
        block[386..386 + self.sparse.len()].copy_from_slice(&self.sparse);
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(512), 0);
}

/// A member that says something of the next one.
fn extension(out: &mut Vec<u8>, kind: u8, name: &[u8], data: &[u8], gnu: bool) {
    let header = Header {
        name,
        link: b"",
        kind,
        mode: 0o644,
        ids: [0, 0],
        size: data.len() as u64,
        time: 0,
        device: (0, 0),
        gnu,
        sparse: Vec::new(),
    };
    out.extend(header.block());
    out.extend(data);
    pad(out);
}

fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|length| rest + length.to_string().len() == *length).unwrap();
    records.extend(length.to_string().as_bytes());
    records.extend([b" ", key, b"=", value, b"\n"].concat());
}

/// Where the data are, in pairs of place and length; a hole at the end is told by an empty pair.
fn map(parts: &Sparse) -> (Vec<(u64, u64)>, u64, Vec<u8>) {
    let (mut at, mut map, mut data) = (0, Vec::new(), Vec::new());
    for (hole, bytes) in parts {
        at += hole;
        if !bytes.is_empty() {
            map.push((at, bytes.len() as u64));
        }
        at += bytes.len() as u64;
        data.extend(bytes);
    }
    if parts.last().is_some_and(|(_, bytes)| bytes.is_empty()) {
        map.push((at, 0));
    }
    (map, at, data)
}

fn is_sparse(parts: &Sparse) -> bool {
    parts.iter().any(|(hole, _)| *hole > 0)
}

/// All bytes of a file, holes as zeros.
fn bytes(parts: &Sparse) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (hole, data) in parts {
        bytes.resize(bytes.len() + usize::try_from(*hole).unwrap(), 0);
        bytes.extend(data);
    }
    bytes
}

fn one(out: &mut Vec<u8>, member: &Member, dialect: Dialect) {
    let mut path = member.path.clone();
    if member.what == What::Directory {
        if path.is_empty() {
            path = b".".to_vec();
        }
        path.push(b'/');
    }
    let meta = &member.meta;
    let (kind, link, device) = match &member.what {
        What::Directory => (b'5', &[][..], (0, 0)),
        What::File(_) => (b'0', &[][..], (0, 0)),
        What::Symlink(target) => (b'2', &target[..], (0, 0)),
        What::Char(major, minor) => (b'3', &[][..], (*major, *minor)),
        What::Block(major, minor) => (b'4', &[][..], (*major, *minor)),
        What::Fifo => (b'6', &[][..], (0, 0)),
        What::Link(target) => (b'1', &target[..], (0, 0)),
    };
    let empty = Sparse::new();
    let parts = if let What::File(parts) = &member.what { parts } else { &empty };
    let written_out;
    let parts = if dialect == (Dialect::Gnu { sparse: false }) && is_sparse(parts) {
        written_out = vec![(0, bytes(parts))];
        &written_out
    } else {
        parts
    };
    let (map, size, data) = map(parts);
    let mut header = Header {
        name: &path,
        link,
        kind,
        mode: meta.mode.bits(),
        ids: [meta.uid, meta.gid],
        size,
        time: meta.mtime.seconds(),
        device,
        gnu: matches!(dialect, Dialect::Gnu { .. }),
        sparse: Vec::new(),
    };
    match dialect {
        Dialect::Gnu { .. } => gnu(out, &mut header, is_sparse(parts).then_some(&map), &data),
        Dialect::Pax { sparse_map_in_data } => {
            let sparse = is_sparse(parts).then_some((&map[..], sparse_map_in_data));
            pax(out, &mut header, member, sparse, &data);
        }
    }
    out.extend(data);
    pad(out);
}

/// Everything up to a member's data, as GNU tar has it.
fn gnu(out: &mut Vec<u8>, header: &mut Header<'_>, sparse: Option<&Vec<(u64, u64)>>, data: &[u8]) {
    for (kind, name) in [(b'K', header.link), (b'L', header.name)] {
        if name.len() > 100 {
            extension(out, kind, b"././@LongLink", &[name, b"\0"].concat(), true);
        }
    }
    let Some(map) = sparse else {
        out.extend(header.block());
        return;
    };
    let pairs = |pairs: &[(u64, u64)], room: usize, more: bool| {
        let mut bytes = vec![0; room * 24];
        for (pair, field) in pairs.iter().zip(bytes.chunks_mut(24)) {
            octal(&mut field[..12], pair.0);
            octal(&mut field[12..], pair.1);
        }
        bytes.push(u8::from(more));
        bytes
    };
    let (first, rest) = map.split_at(map.len().min(4));
    header.sparse = pairs(first, 4, !rest.is_empty());
    let mut real = [0; 12];
    octal(&mut real, header.size);
    header.sparse.extend(real);
    header.kind = b'S';
    header.size = data.len() as u64;
    out.extend(header.block());
    let blocks: Vec<_> = rest.chunks(21).collect();
    for (number, block) in blocks.iter().enumerate() {
        out.extend(pairs(block, 21, number + 1 < blocks.len()));
        pad(out);
    }
}

/// Everything up to a member's data, as POSIX has it.
fn pax(
    out: &mut Vec<u8>,
    header: &mut Header<'_>,
    member: &Member,
    sparse: Option<(&[(u64, u64)], bool)>,
    data: &[u8],
) {
    let mut records = Vec::new();
    let mut say = |key: &str, value: &[u8]| record(&mut records, key.as_bytes(), value);
    let is_long = |name: &[u8]| name.len() > 100 || !name.is_ascii();
    if is_long(header.name) && sparse.is_none() {
        say("path", header.name);
    }
    if is_long(header.link) {
        say("linkpath", header.link);
    }
    for (key, id) in ["uid", "gid"].into_iter().zip(header.ids) {
        if id > 0o7_777_777 {
            say(key, id.to_string().as_bytes());
        }
    }
    let time = member.meta.mtime;
    if time.nanoseconds() > 0 || !(0..1 << 33).contains(&time.seconds()) {
        let nanoseconds =
            i128::from(time.seconds()) * 1_000_000_000 + i128::from(time.nanoseconds());
        let (sign, all) = (if nanoseconds < 0 { "-" } else { "" }, nanoseconds.unsigned_abs());
        let text = format!("{sign}{}.{:09}", all / 1_000_000_000, all % 1_000_000_000);
        say("mtime", text.as_bytes());
    }
    for (name, value) in &member.meta.xattrs {
        say(&format!("SCHILY.xattr.{}", String::from_utf8_lossy(name)), value);
    }
    let (name, size) = (header.name, header.size.to_string());
    let mut before = Vec::new();
    match sparse {
        None => {}
        Some((map, true)) => {
            say("GNU.sparse.major", b"1");
            say("GNU.sparse.minor", b"0");
            say("GNU.sparse.name", name);
            say("GNU.sparse.realsize", size.as_bytes());
            before.extend(format!("{}\n", map.len()).as_bytes());
            for (at, length) in map {
                before.extend(format!("{at}\n{length}\n").as_bytes());
            }
            pad(&mut before);
        }
        Some((map, false)) => {
            let pairs: Vec<_> = map.iter().map(|(at, length)| format!("{at},{length}")).collect();
            say("GNU.sparse.size", size.as_bytes());
            say("GNU.sparse.numblocks", map.len().to_string().as_bytes());
            say("GNU.sparse.name", name);
            say("GNU.sparse.map", pairs.join(",").as_bytes());
        }
    }
    if sparse.is_some() {
        header.name = b"GNUSparseFile.0/file";
        header.size = (before.len() + data.len()) as u64;
    }
    if !records.is_empty() {
        extension(out, b'x', b"PaxHeaders/member", &records, false);
    }
    out.extend(header.block());
    out.extend(before);
}
