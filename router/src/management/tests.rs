use super::*;

#[derive(CandidType)]
struct NewerStatus {
    module_hash: Option<ByteBuf>,
    status: String,
    settings: Vec<u64>,
}

#[test]
fn answers_of_a_newer_platform_are_read() {
    let newer = NewerStatus { module_hash: Some(ByteBuf::from([7; 32])), status: "running".into(), settings: vec![1] };
    assert_eq!(read_module_hash(&codec::encode(&newer)), Ok(Some(vec![7; 32])));
}

#[test]
fn answers_that_are_none_are_refused() {
    assert!(read_created(b"").is_err() && read_created(&codec::encode(&1u8)).is_err());
    assert!(read_random(&codec::encode(&ByteBuf::from([1; 31]))).is_err());
    assert_eq!(read_random(&codec::encode(&ByteBuf::from([1; 32]))), Ok([1; 32]));
}

#[test]
fn created_id_is_read_back() {
    let canister = Principal::from_slice(&[1, 2, 3]);
    assert_eq!(read_created(&canister_status(canister)), Ok(canister));
}

#[test]
fn reserved_cycles_and_their_limit_are_read() {
    let found = CanisterReservation {
        reserved_cycles: Nat::from(7u8),
        settings: ReservationSettings { reserved_cycles_limit: Nat::from(9u8) },
    };
    assert_eq!(read_reservation(&codec::encode(&found)), Ok(Reservation { reserved: 7, limit: 9 }));
    assert!(read_reservation(&codec::encode(&1u8)).is_err());
}
