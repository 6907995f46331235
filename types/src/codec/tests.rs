use super::*;
use crate::api::{GetArguments, PutArguments};
use crate::limits::{KEY_BYTES_MAX, REASON_BYTES_MAX, VALUE_BYTES_MAX};

#[test]
fn largest_put_passes_the_quotas() {
    let arguments = PutArguments::new(vec![1; KEY_BYTES_MAX], vec![2; VALUE_BYTES_MAX]);
    assert_eq!(decode(&encode(&arguments)), Ok(arguments));
}

#[test]
fn fields_of_a_newer_client_are_skipped() {
    let newer = PutArguments::new(b"k".to_vec(), b"v".to_vec());
    assert_eq!(decode(&encode(&newer)), Ok(GetArguments::new(b"k".to_vec())));
}

#[test]
fn nonsense_is_refused_with_a_bounded_reason() {
    for bytes in [&b""[..], b"DIDL", b"nonsense", &[0xff; 4096], &encode(&"text")] {
        let refused = decode::<PutArguments>(bytes).unwrap_err();
        assert!(refused.reason.len() <= REASON_BYTES_MAX);
    }
}

#[test]
fn small_message_that_describes_a_huge_value_is_refused() {
    // vec null with 2^32 - 1 elements: six bytes of type table and length, no data.
    let bomb = [b"DIDL".as_slice(), &[1, 0x6d, 0x7f, 1, 0], &[0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
    assert!(decode::<Vec<()>>(&bomb).is_err());
}

#[test]
fn surplus_arguments_are_ignored() {
    let two = candid::encode_args((GetArguments::new(b"k".to_vec()), 1u8)).unwrap();
    assert_eq!(decode(&two), Ok(GetArguments::new(b"k".to_vec())));
}

/// A put with an unknown field that holds `depth` options of options.
fn put_with_deep_field(depth: usize) -> Vec<u8> {
    // Type 0: record { 1 : type 1 }. Type 1: opt type 1.
    let mut bytes = [b"DIDL".as_slice(), &[2, 0x6c, 1, 1, 1, 0x6e, 1], &[1, 0]].concat();
    bytes.extend(std::iter::repeat_n(1, depth));
    bytes.push(0);
    bytes
}

#[test]
fn deep_value_in_an_unknown_field_is_refused_long_before_it_fills_the_stack() {
    #[derive(CandidType, serde::Deserialize)]
    struct Nothing {}

    let accepted = |depth: usize| {
        let bytes = put_with_deep_field(depth);
        let decoding =
            std::thread::Builder::new().stack_size(256 << 20).spawn(move || decode::<Nothing>(&bytes).is_ok());
        decoding.unwrap().join().unwrap()
    };
    assert!(accepted(100));
    let deepest = (1..=100).map(|hundreds| 100 * hundreds).take_while(|&depth| accepted(depth)).last();
    assert!(deepest < Some(DEEPEST_SAFE_IN_WASM), "{deepest:?}");
}

/// A quarter of what fills the stack of a canister: 18,000 levels fill 4 MiB.
const DEEPEST_SAFE_IN_WASM: usize = 4_500;
