use super::*;

#[test]
fn the_source_is_a_module() {
    assert_eq!(&wasm()[..4], b"\0asm");
}

#[test]
fn arguments_are_laid_out_as_the_module_reads_them() {
    let callee = Principal::from_slice(&[7; 10]);
    let forward = Forward { timeout_seconds: Some(3), cycles: 5, callee, method: "put", argument: b"xy" };
    let bytes = forward.encode();
    assert_eq!(bytes[..4], [3, 0, 0, 0]);
    assert_eq!(bytes[4..12], [5, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[12], 10);
    assert_eq!(bytes[23..], *b"\x03putxy");
}

#[test]
fn answers_are_told_apart() {
    assert_eq!(Forwarded::decode(b"\0abc"), Some(Forwarded::Reply(b"abc".to_vec())));
    let reject = Forwarded::Reject { code: 6, message: "late".to_string() };
    assert_eq!(Forwarded::decode(b"\x01\x06\0\0\0late"), Some(reject));
    assert_eq!(Forwarded::decode(b"\x02"), Some(Forwarded::NotSent));
    assert_eq!(Forwarded::decode(b""), None);
    assert_eq!(Forwarded::decode(b"\x01\x06"), None);
}
