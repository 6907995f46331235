//! `raw_rand`: 32 bytes that nobody knew in the round of the call.

use super::Step;
use super::errors::Refusal;
use super::payload;
use crate::chance::Point;
use crate::replica::state::{ManagementCall, SubnetState};

/// Answers in the round after the one in which the call arrived.
pub(super) fn raw_rand(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    if call.arrived_round >= subnet.round {
        return Ok(Step::NextRound);
    }
    let bytes = subnet.chance.bytes(Point::RawRand);
    Ok(Step::reply(payload::encode(&serde_bytes::ByteBuf::from(bytes.to_vec()))))
}
