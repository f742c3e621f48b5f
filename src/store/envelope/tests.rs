//! The format against its golden files (`tests/envelopes`, `UPDATE=1` writes those of the current version), and against
//! bytes that are no envelope.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn seal() -> Seal {
    Seal { compress_from: 64, largest: 1 << 20, key: None }
}

fn signed(secret: &[u8]) -> Seal {
    Seal { key: Key::new(secret), ..seal() }
}

fn sample(kind: Kind, body: &[u8]) -> Envelope<'_> {
    let head = Head {
        identity: Bytes::new(b"\x01an identity\x00\xff"),
        version: Some((7_u128 << 64 | 9).into()),
        epoch: u128::MAX.into(),
        seq: 1 << 40,
        born: 1_700_000_000_000_000_000,
        lifetime: 300_000_000_000,
        stale: 5,
        cost: 12_345,
        length: body.len() as u32,
        tags: vec![TagHead(1, None), TagHead(u64::MAX, Some("größe"))],
        templates: vec![TemplateHead("p.html", 5.into()), TemplateHead("missing.html", 0.into())],
    };
    Envelope { head, kind, body: Cow::Borrowed(body) }
}

fn bare(length: u32) -> Head<'static> {
    let wide = Wide::from(0);
    let identity = Bytes::new(b"");
    Head {
        identity,
        version: None,
        epoch: wide,
        seq: 0,
        born: 0,
        lifetime: u64::MAX,
        stale: 0,
        cost: 0,
        length,
        tags: vec![],
        templates: vec![],
    }
}

#[test]
fn golden_files_of_every_version_are_read_and_the_current_one_is_written_the_same() {
    let long = "<li>film</li>".repeat(20);
    let samples = [
        ("v1_markup", sample(Kind::Markup, b"<b>short</b>"), seal()),
        ("v1_compressed_text", sample(Kind::Text, long.as_bytes()), seal()),
        ("v1_value", sample(Kind::Data, b"\x93\x01\x02\xc0"), seal()),
        ("v1_empty", Envelope { head: bare(0), kind: Kind::Text, body: Cow::Borrowed(b"") }, seal()),
        ("v1_signed", sample(Kind::Markup, b"<b>signed</b>"), signed(b"secret")),
    ];
    for (name, envelope, seal) in samples {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/envelopes/{name}.bin"));
        let bytes = envelope.encode(&seal).unwrap();
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &bytes).unwrap();
        }
        let golden = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(Envelope::decode(&golden, &seal), Ok(envelope), "{name} is read");
        assert_eq!(bytes, golden, "{name} is written");
    }
}

#[test]
fn a_cut_or_changed_envelope_is_a_defect_wherever_it_was_hit() {
    for seal in [seal(), signed(b"secret")] {
        let bytes = sample(Kind::Text, "x".repeat(100).as_bytes()).encode(&seal).unwrap();
        for end in 0..bytes.len() {
            assert!(Envelope::decode(&bytes[..end], &seal).is_err(), "cut at {end}");
            assert!(Envelope::decode(&bytes[bytes.len() - end..], &seal).is_err(), "the last {end}");
            let mut changed = bytes.clone();
            changed[end] ^= 1;
            assert!(Envelope::decode(&changed, &seal).is_err(), "changed at {end}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(Envelope::decode(&longer, &seal).is_err());
    }
}

#[test]
fn other_versions_secrets_and_unsigned_ones_are_told_apart() {
    let plain = sample(Kind::Text, b"x").encode(&seal()).unwrap();
    let ours = sample(Kind::Text, b"x").encode(&signed(b"secret")).unwrap();
    assert_eq!(Envelope::decode(&plain, &signed(b"secret")), Err(Defect::Unsigned));
    assert_eq!(Envelope::decode(&ours, &seal()), Err(Defect::Unsigned));
    assert_eq!(Envelope::decode(&ours, &signed(b"Secret")), Err(Defect::Damaged));
    let mut newer = plain.clone();
    newer[4] = 2;
    assert_eq!(Envelope::decode(&newer, &seal()), Err(Defect::Version(2)));
    for foreign in [&b""[..], b"MJ", b"MJFC", b"HTTP/1.1 200 OK\r\n", &[0; 64]] {
        assert_eq!(Envelope::decode(foreign, &seal()), Err(Defect::Foreign));
    }
}

#[test]
fn a_body_that_claims_to_be_huge_allocates_nothing() {
    let mut envelope = sample(Kind::Text, b"small");
    envelope.head.length = u32::MAX;
    let bytes = envelope.encode(&seal()).unwrap();
    assert_eq!(Envelope::decode(&bytes, &seal()), Err(Defect::TooLarge));
    envelope.head.length = 1 << 20;
    let bytes = envelope.encode(&seal()).unwrap();
    assert_eq!(Envelope::decode(&bytes, &seal()), Err(Defect::Damaged));
}

#[test]
fn compression_shrinks_what_is_large_and_leaves_alone_what_is_small_or_does_not_shrink() {
    let size = |body: &[u8]| {
        Envelope { head: bare(body.len() as u32), kind: Kind::Data, body: body.into() }.encode(&seal()).unwrap().len()
    };
    let noise: Vec<u8> = (0..4096_u64).map(|n| (xxh3_64(&n.to_le_bytes()) & 255) as u8).collect();
    let head = size(b"");
    assert!(size(&[b'x'; 4096]) < 200);
    assert_eq!(size(&[b'x'; 63]), head + 63);
    assert!((4096..4096 + head + 8).contains(&size(&noise)));
}

proptest! {
    #[test]
    fn what_was_written_is_read(body: Vec<u8>, identity: Vec<u8>, tags: Vec<(u64, Option<String>)>, sign: bool) {
        let seal = if sign { signed(b"k") } else { seal() };
        let head = Head {
            identity: Bytes::new(&identity),
            tags: tags.iter().map(|(hash, name)| TagHead(*hash, name.as_deref())).collect(),
            ..bare(body.len() as u32)
        };
        let envelope = Envelope { head, kind: Kind::Data, body: (&body[..]).into() };
        let bytes = envelope.encode(&seal).unwrap();
        prop_assert_eq!(Envelope::decode(&bytes, &seal), Ok(envelope));
    }

    #[test]
    fn no_bytes_make_it_panic(mut bytes: Vec<u8>, checked: bool) {
        if checked {
            // Past the checksum, to what parses the head.
            let preamble = [&MAGIC[..], &[VERSION, 0]].concat();
            bytes = [&preamble[..], &checksum(&preamble, &bytes), &bytes].concat();
        }
        let _ = Envelope::decode(&bytes, &seal());
    }
}
