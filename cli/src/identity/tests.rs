use super::*;

/// The secret of all keys here.
const SECRET: [u8; 32] = [7; 32];

fn principal(pem: &str) -> Result<String, String> {
    parse(pem.as_bytes()).map(|identity| identity.sender().expect("a sender").to_text())
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// SEC1: version 1, the secret, the curve.
fn sec1(curve: &[u8]) -> Vec<u8> {
    let curve = [&[0xa0, curve.len() as u8][..], curve].concat();
    let content = [&[2, 1, 1, 4, 32][..], &SECRET, &curve].concat();
    [&[0x30, content.len() as u8][..], &content].concat()
}

/// PKCS#8: version 0, the algorithm with its curve, SEC1 without curve.
fn pkcs8(curve: &[u8]) -> Vec<u8> {
    let elliptic = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
    let algorithm = [&[0x30, (elliptic.len() + curve.len()) as u8][..], elliptic, curve].concat();
    let key = [&[0x30, 37, 2, 1, 1, 4, 32][..], &SECRET].concat();
    let content = [&[2, 1, 0][..], &algorithm, &[4, key.len() as u8], &key].concat();
    [&[0x30, content.len() as u8][..], &content].concat()
}

fn secp256k1() -> String {
    let key = k256::SecretKey::from_slice(&SECRET).expect("a key");
    Secp256k1Identity::from_private_key(key).sender().expect("a sender").to_text()
}

fn p256() -> String {
    let key = p256::SecretKey::from_slice(&SECRET).expect("a key");
    Prime256v1Identity::from_private_key(key).sender().expect("a sender").to_text()
}

#[test]
fn an_ed25519_key_that_was_written_is_read() {
    let expected = BasicIdentity::from_raw_key(&SECRET).sender().expect("a sender").to_text();
    assert_eq!(principal(&ed25519_pem(&SECRET)), Ok(expected));
}

#[test]
fn each_curve_is_read_as_itself_in_both_formats() {
    for (curve, expected) in [(SECP256K1, secp256k1()), (P256, p256())] {
        assert_eq!(principal(&pem("EC PRIVATE KEY", &sec1(curve))), Ok(expected.clone()));
        assert_eq!(principal(&pem("PRIVATE KEY", &pkcs8(curve))), Ok(expected.clone()));
        let with_parameters = pem("EC PARAMETERS", curve) + &pem("EC PRIVATE KEY", &sec1(curve));
        assert_eq!(principal(&with_parameters), Ok(expected));
    }
}

#[test]
fn what_is_no_usable_key_is_told_as_what_it_is() {
    let cases = [
        (String::new(), "holds no `-----BEGIN"),
        ("hello".to_string(), "holds no `-----BEGIN"),
        (pem("CERTIFICATE", b"\x30\x00"), "holds a CERTIFICATE"),
        (pem("ENCRYPTED PRIVATE KEY", b"\x30\x00"), "encrypted"),
        (
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nAAAA\n-----END EC PRIVATE KEY-----".into(),
            "encrypted",
        ),
        ("-----BEGIN PRIVATE KEY-----\nAAAA".to_string(), "has no end"),
        ("-----END PRIVATE KEY-----".to_string(), "never began"),
        ("-----BEGIN PRIVATE KEY-----\n***\n-----END PRIVATE KEY-----".to_string(), "is no identity"),
        (pem("RSA PRIVATE KEY", b"\x30\x00"), "another kind"),
        (pem("PRIVATE KEY", ED25519_HEAD), "damaged"),
        (pem("EC PRIVATE KEY", &sec1(P256)[..30]), "another kind"),
    ];
    for (text, expected) in cases {
        let told = principal(&text).expect_err("it is no key");
        assert!(format!("x is no identity: {told}").contains(expected), "{told} of {text}");
    }
}
