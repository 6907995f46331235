use super::*;
use crate::codec::{decode, encode};

#[test]
fn an_id_is_a_blob_of_sixteen_bytes() {
    let id = TransferId([7; TRANSFER_ID_BYTES]);
    assert_eq!(encode(&id), encode(&ByteBuf::from(vec![7; TRANSFER_ID_BYTES])));
    assert_eq!(decode::<TransferId>(&encode(&id)), Ok(id));
    for length in [0, 15, 17] {
        decode::<TransferId>(&encode(&ByteBuf::from(vec![7; length]))).expect_err("another length is refused");
    }
    assert_eq!(TransferId([10; TRANSFER_ID_BYTES]).to_string(), "0a".repeat(16));
}
