use super::*;
use crate::codec::{decode, encode};
use crate::wire::refusals::refuse;

#[test]
fn shared_reasons_go_from_one_error_to_another_and_others_come_back() {
    let too_long = Refusal::KeyTooLong { bytes: 2_000, bytes_max: 1_024 };
    let put = PutError::from_refusal(too_long.clone());
    assert_eq!(put, Ok(PutError::KeyTooLong { bytes: 2_000, bytes_max: 1_024 }));
    assert_eq!(put.unwrap().into_refusal(), Ok(too_long.clone()));
    assert_eq!(BatchError::<PutError>::from_refusal(too_long.clone()), Err(too_long));
    let unknown = PutError::Unknown { reason: "lost".to_string() };
    assert_eq!(unknown.clone().into_refusal(), Err(unknown));
    assert_eq!(GetError::from_refusal(Refusal::KeyEmpty), Ok(GetError::KeyEmpty));
    assert_eq!(GetError::from_refusal(Refusal::OperationIdReused), Err(Refusal::OperationIdReused));
}

#[test]
fn parts_read_as_the_error_that_they_are_of() {
    let errors = [
        BatchError::KeyTwice { first: 1, second: 7 },
        BatchError::TooManyItems { items: 10_001, items_max: 10_000 },
        BatchError::Unauthorised { caller: Principal::anonymous() },
    ];
    for error in errors {
        let (tag, fields) = error.parts().unwrap();
        let expected: Result<Vec<u8>, BatchError<GetError>> = Err(error.clone());
        assert_eq!(decode(&refuse(tag, &fields)), Ok(expected));
    }
    let nested = BatchError::Item { index: 3, error: GetError::KeyEmpty };
    assert!(nested.parts().is_none());
    let result: Result<Vec<u8>, _> = Err(nested);
    assert_eq!(decode(&encode(&result)), Ok(result));
}
