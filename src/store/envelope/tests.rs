//! The format compared with its golden files (`tests/envelopes`; `UPDATE=1` writes those of the current version), and
//! bytes that are not an envelope.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn codec() -> EnvelopeCodec {
    EnvelopeCodec { compress_from: 64, max_body: 1 << 20, key: None }
}

fn signed(secret: &[u8]) -> EnvelopeCodec {
    EnvelopeCodec { key: SigningKey::new(secret), ..codec() }
}

fn sample(kind: BodyKind, body: &[u8]) -> Envelope<'_> {
    let head = EnvelopeHead {
        identity: Bytes::new(b"\x01an identity\x00\xff"),
        version: Some((7_u128 << 64 | 9).into()),
        epoch: u128::MAX.into(),
        seq: 1 << 40,
        born: 1_700_000_000_000_000_000,
        lifetime: 300_000_000_000,
        stale: 5,
        cost: 12_345,
        length: body.len() as u32,
        tags: vec![EnvelopeTag(1, None), EnvelopeTag(u64::MAX, Some("größe"))],
        templates: vec![EnvelopeTemplate("p.html", 5.into()), EnvelopeTemplate("missing.html", 0.into())],
    };
    Envelope { head, kind, body: Cow::Borrowed(body) }
}

fn bare(length: u32) -> EnvelopeHead<'static> {
    let wide = U128Halves::from(0);
    let identity = Bytes::new(b"");
    EnvelopeHead {
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
fn golden_files_of_all_versions_are_read_and_those_of_the_current_one_are_reproduced() {
    let long = "<li>film</li>".repeat(20);
    let samples = [
        ("v1_markup", sample(BodyKind::Markup, b"<b>short</b>"), codec()),
        ("v1_compressed_text", sample(BodyKind::Text, long.as_bytes()), codec()),
        ("v1_value", sample(BodyKind::Data, b"\x93\x01\x02\xc0"), codec()),
        ("v1_empty", Envelope { head: bare(0), kind: BodyKind::Text, body: Cow::Borrowed(b"") }, codec()),
        ("v1_signed", sample(BodyKind::Markup, b"<b>signed</b>"), signed(b"secret")),
    ];
    for (name, envelope, codec) in samples {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/envelopes/{name}.bin"));
        let bytes = codec.encode(&envelope).unwrap();
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &bytes).unwrap();
        }
        let golden = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(codec.decode(&golden), Ok(envelope), "{name} is read");
        assert_eq!(bytes, golden, "{name} is written");
    }
}

#[test]
fn a_cut_or_changed_envelope_is_a_defect_wherever_it_was_hit() {
    for codec in [codec(), signed(b"secret")] {
        let bytes = codec.encode(&sample(BodyKind::Text, "x".repeat(100).as_bytes())).unwrap();
        for end in 0..bytes.len() {
            assert!(codec.decode(&bytes[..end]).is_err(), "cut at {end}");
            assert!(codec.decode(&bytes[bytes.len() - end..]).is_err(), "the last {end}");
            let mut changed = bytes.clone();
            changed[end] ^= 1;
            assert!(codec.decode(&changed).is_err(), "changed at {end}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(codec.decode(&longer).is_err());
    }
}

#[test]
fn other_versions_other_keys_and_unsigned_envelopes_are_rejected() {
    let plain = codec().encode(&sample(BodyKind::Text, b"x")).unwrap();
    let ours = signed(b"secret").encode(&sample(BodyKind::Text, b"x")).unwrap();
    assert_eq!(signed(b"secret").decode(&plain), Err(DecodeError::Unsigned));
    assert_eq!(codec().decode(&ours), Err(DecodeError::Unsigned));
    assert_eq!(signed(b"Secret").decode(&ours), Err(DecodeError::Damaged));
    let mut newer = plain.clone();
    newer[4] = 2;
    assert_eq!(codec().decode(&newer), Err(DecodeError::Version(2)));
    for foreign in [&b""[..], b"MJ", b"MJFC", b"HTTP/1.1 200 OK\r\n", &[0; 64]] {
        assert_eq!(codec().decode(foreign), Err(DecodeError::Foreign));
    }
}

#[test]
fn a_head_that_announces_a_large_body_is_rejected_without_allocating() {
    let mut envelope = sample(BodyKind::Text, b"small");
    envelope.head.length = u32::MAX;
    let bytes = codec().encode(&envelope).unwrap();
    assert_eq!(codec().decode(&bytes), Err(DecodeError::TooLarge));
    envelope.head.length = 1 << 20;
    let bytes = codec().encode(&envelope).unwrap();
    assert_eq!(codec().decode(&bytes), Err(DecodeError::Damaged));
}

#[test]
fn bodies_are_compressed_if_they_are_large_and_shrink() {
    let size = |body: &[u8]| {
        let envelope = Envelope { head: bare(body.len() as u32), kind: BodyKind::Data, body: body.into() };
        codec().encode(&envelope).unwrap().len()
    };
    let noise: Vec<u8> = (0..4096_u64).map(|n| (xxh3_64(&n.to_le_bytes()) & 255) as u8).collect();
    let head = size(b"");
    assert!(size(&[b'x'; 4096]) < 200);
    assert_eq!(size(&[b'x'; 63]), head + 63);
    assert!((4096..4096 + head + 8).contains(&size(&noise)));
}

proptest! {
    #[test]
    fn an_encoded_envelope_is_decoded(body: Vec<u8>, identity: Vec<u8>, tags: Vec<(u64, Option<String>)>, sign: bool) {
        let codec = if sign { signed(b"k") } else { codec() };
        let head = EnvelopeHead {
            identity: Bytes::new(&identity),
            tags: tags.iter().map(|(hash, name)| EnvelopeTag(*hash, name.as_deref())).collect(),
            ..bare(body.len() as u32)
        };
        let envelope = Envelope { head, kind: BodyKind::Data, body: (&body[..]).into() };
        let bytes = codec.encode(&envelope).unwrap();
        prop_assert_eq!(codec.decode(&bytes), Ok(envelope));
    }

    #[test]
    fn no_bytes_make_decoding_panic(mut bytes: Vec<u8>, checked: bool) {
        if checked {
            // With a valid checksum, so that the head is parsed.
            let preamble = [&MAGIC[..], &[VERSION, 0]].concat();
            bytes = [&preamble[..], &checksum(&preamble, &bytes), &bytes].concat();
        }
        let _ = codec().decode(&bytes);
    }
}
