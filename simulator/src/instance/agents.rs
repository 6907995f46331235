//! What agents ask of a network: calls, queries and parts of the state, after their senders are known.

use candid::Principal;

use super::{CanisterCall, EffectivePrincipal, IngressStatus, Instance, MessageId};
use crate::agent::authentication::Authenticated;
use crate::agent::envelope::{Call, Request};
use crate::agent::{Refused, answers};
use crate::errors::UserError;
use crate::replica::certification::RangesForm;
use crate::replica::certification::tree::Wanted;
use crate::replica::management;
use crate::replica::state::{IngressRecord, SubnetState, canister_number};

/// What the URL of a request names: it says which subnet is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Canister(Principal),
    Subnet(Principal),
}

impl From<Scope> for EffectivePrincipal {
    fn from(scope: Scope) -> Self {
        match scope {
            // With this id agents create canisters where the network likes.
            Scope::Canister(id) if id == Principal::management_canister() => Self::None,
            Scope::Canister(id) => Self::CanisterId(id),
            Scope::Subnet(id) => Self::SubnetId(id),
        }
    }
}

/// The answer to `read_state` by the time it is certain, or why there is none.
pub type Certified = Result<Vec<u8>, Refused>;

impl Instance {
    /// Returns the key by which all certificates of this network can be verified, in DER form.
    pub fn root_key(&self) -> Vec<u8> {
        self.public_key(&self.topology.root_subnet).expect("the root is a subnet of the network").to_vec()
    }

    /// Offers an update call. Sent again, the same one is not run again.
    ///
    /// # Errors
    /// `Refused` for what a replica wouldn't pass on; inside, the refusal by the ingress filter.
    pub fn agent_call(
        &mut self,
        scope: Scope,
        from: &Authenticated,
        call: Call,
    ) -> Result<Result<MessageId, UserError>, Refused> {
        from.check(self.time_nanos)?;
        let call = in_scope(scope, from.sender, call)?;
        self.submit_ingress_as(from.id, from.expiry_nanos, call).map_err(|refused| Refused::Bad(refused.0))
    }

    /// Returns the certificate of a call's end; `None` while it goes on.
    pub fn agent_outcome(&self, id: &MessageId, form: RangesForm) -> Option<Vec<u8>> {
        let subnet = self.subnets.iter().find(|subnet| subnet.ingress_history.contains_key(id))?;
        match subnet.ingress_history[id].status {
            IngressStatus::Unknown | IngressStatus::Received | IngressStatus::Processing => None,
            IngressStatus::Replied(_) | IngressStatus::Rejected(_) | IngressStatus::Done => {
                Some(subnet.certificate(&Wanted::default().path([b"request_status", id.0.as_slice()]), form))
            }
        }
    }

    /// Answers a query in CBOR, with the signature of a node.
    ///
    /// # Errors
    /// `Refused` for what a replica wouldn't run.
    pub fn agent_query(&mut self, scope: Scope, from: &Authenticated, call: Call) -> Result<Vec<u8>, Refused> {
        from.check(self.time_nanos)?;
        let call = in_scope(scope, from.sender, call)?;
        let index = self.route(&call).map_err(|refused| Refused::Bad(refused.0))?;
        let outcome = self.query(call).map_err(|refused| Refused::Bad(refused.0))?;
        let node = self.subnets[index].config.node_keys.first().expect("every subnet has nodes");
        Ok(answers::query(&from.id, &outcome, node, self.time_nanos))
    }

    /// Answers `read_state` with a certificate.
    ///
    /// # Errors
    /// `Refused` when a path is not the sender's to read, or nobody's.
    pub fn agent_state(&self, scope: Scope, from: &Authenticated, form: RangesForm) -> Certified {
        from.check(self.time_nanos)?;
        let Request::ReadState(paths) = &from.request else {
            return Err(Refused::Bad("The request reads no state.".to_string()));
        };
        let subnet = self.subnet_in(scope)?;
        let mut wanted = Wanted::default();
        let mut asked: Option<&[u8]> = None;
        for path in paths {
            let labels: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
            if let [b"request_status", id, ..] = labels.as_slice() {
                if asked.is_some_and(|other| other != *id) {
                    return Err(Refused::Bad("All paths of request_status must be of the same request.".to_string()));
                }
                asked = Some(id);
            }
            may_read(subnet, scope, from, &labels)?;
            wanted.add(&labels);
        }
        Ok(subnet.certificate(&wanted, form))
    }

    fn subnet_in(&self, scope: Scope) -> Result<&SubnetState, Refused> {
        let subnet = match scope {
            Scope::Subnet(id) => Some(id),
            Scope::Canister(id) if id == Principal::management_canister() => Some(self.topology.root_subnet),
            Scope::Canister(id) => self.routes.subnet_of(&id).filter(|_| canister_number(&id).is_some()),
        };
        let index = subnet.and_then(|subnet| self.index_of(&subnet));
        index.map(|index| &self.subnets[index]).ok_or_else(|| {
            Refused::Bad(match scope {
                Scope::Subnet(id) => format!("Subnet {id} not found."),
                Scope::Canister(id) => format!("Canister {id} does not belong to any subnet."),
            })
        })
    }
}

/// Checks that a call came to the right place.
fn in_scope(scope: Scope, sender: Principal, call: Call) -> Result<CanisterCall, Refused> {
    let is_management = call.canister_id == Principal::management_canister();
    let target = match is_management {
        true => management::target(&call.method, &call.argument),
        false => Some(call.canister_id),
    };
    match (scope, target) {
        (Scope::Canister(effective), Some(target)) if effective != target => Err(Refused::Bad(format!(
            "The call of canister {target} was sent to that of the effective canister id {effective} in the URL."
        ))),
        (Scope::Subnet(_), _) if !is_management => Err(Refused::Bad(format!(
            "Calls of canister {} must be sent to its own URL, not to a subnet's.",
            call.canister_id
        ))),
        _ => Ok(CanisterCall {
            sender,
            canister_id: call.canister_id,
            effective: scope.into(),
            method: call.method,
            payload: call.argument,
        }),
    }
}

/// Decides whether a path may be read (interface specification, "Request: Read state").
fn may_read(subnet: &SubnetState, scope: Scope, from: &Authenticated, path: &[&[u8]]) -> Result<(), Refused> {
    let canister_in_url = |id: &[u8]| match scope {
        Scope::Canister(effective) if effective.as_slice() == id => Ok(effective),
        Scope::Canister(effective) => Err(Refused::Bad(format!(
            "Effective principal id in URL {effective} does not match requested principal id: {}.",
            hex::encode(id)
        ))),
        Scope::Subnet(_) => Err(Refused::NotFound("Canisters can't be read from a subnet's URL.".to_string())),
    };
    match path {
        [b"time"] | [b"subnet"] | [b"subnet", _] | [b"api_boundary_nodes", ..] => Ok(()),
        [b"subnet", _, b"public_key" | b"canister_ranges" | b"metrics" | b"type"] => Ok(()),
        [b"subnet", _, b"node"] | [b"subnet", _, b"node", _] | [b"subnet", _, b"node", _, b"public_key"] => Ok(()),
        [b"canister_ranges", _] | [b"canister_ranges", _, _] => Ok(()),
        [b"canister", id, b"module_hash" | b"controllers"] => canister_in_url(id).map(drop),
        [b"canister", id, b"metadata", name] => {
            let id = canister_in_url(id)?;
            match is_private(subnet, &id, name, &from.sender)? {
                false => Ok(()),
                true => Err(Refused::Forbidden(format!(
                    "Custom section {} can only be requested by the controllers of the canister.",
                    String::from_utf8_lossy(name).chars().take(SHOWN_CHARS_MAX).collect::<String>()
                ))),
            }
        }
        [b"request_status", id] | [b"request_status", id, ..] => {
            let id: Result<[u8; 32], _> = (*id).try_into();
            let id = id.map_err(|_| Refused::Bad("A request id has 32 bytes.".to_string()))?;
            subnet.ingress_history.get(&MessageId(id)).map_or(Ok(()), |record| may_know(record, from))
        }
        _ => Err(Refused::NotFound("Invalid path requested.".to_string())),
    }
}

/// Characters of a name that a refusal repeats.
const SHOWN_CHARS_MAX: usize = 100;

fn is_private(subnet: &SubnetState, id: &Principal, name: &[u8], sender: &Principal) -> Result<bool, Refused> {
    let name = std::str::from_utf8(name);
    let name = name.map_err(|_| Refused::Bad("The name of a custom section is not UTF-8.".to_string()))?;
    let canister = subnet.canisters.get(id);
    let section = canister.and_then(|canister| canister.code.as_ref()?.module.custom_sections().get(name));
    let is_controller = canister.is_some_and(|canister| canister.is_controller(sender));
    Ok(section.is_some_and(|section| !section.public) && !is_controller)
}

/// Decides whether a request's fate may be known. Before a round took it nobody knows whose it is.
fn may_know(record: &IngressRecord, from: &Authenticated) -> Result<(), Refused> {
    if record.status == IngressStatus::Received {
        return Ok(());
    }
    if record.sender != from.sender {
        let text = "The user tries to access Request ID not signed by the caller.";
        return Err(Refused::Forbidden(text.to_string()));
    }
    if !from.reaches(&record.receiver) {
        let text = "The user tries to access request IDs for canisters not belonging to sender delegation targets.";
        return Err(Refused::Forbidden(text.to_string()));
    }
    Ok(())
}
