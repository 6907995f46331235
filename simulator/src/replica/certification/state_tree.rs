//! The state tree of a subnet, and certificates of parts of it (interface specification, "The system state tree").

use super::tree::{Tree, Wanted};
use super::*;
use crate::replica::state::{Canister, Code, IngressRecord, IngressStatus, MessageId, SubnetState};

impl SubnetState {
    /// Returns the certificate of a canister's certified data, as of the last round.
    pub fn data_certificate(&self, canister: &Principal) -> Vec<u8> {
        let wanted = Wanted::default().path([b"canister", canister.as_slice(), b"certified_data"]);
        self.certificate(&wanted, RangesForm::Flat)
    }

    /// Returns a certificate of what is wanted, as of the last round.
    pub fn certificate(&self, wanted: &Wanted, form: RangesForm) -> Vec<u8> {
        let mut cache = self.certificate_cache.borrow_mut();
        let certified = cache.get_or_insert_with(|| CertifiedTree::new(self.state_tree(), &self.config.signer));
        let mut delegations = self.delegations.borrow_mut();
        if let Some(delegator) = &self.config.delegator
            && delegations.as_ref().is_none_or(|delegations| delegations.are_old(self.time_nanos))
        {
            *delegations = Some(delegator.delegate(self.config.id, self.time_nanos));
        }
        let delegation = delegations.as_ref().map(|delegations| delegations.of_form(form));
        certified.certificate(wanted, &|path| self.contents(path), delegation)
    }

    fn state_tree(&self) -> Tree {
        let canisters = self.canisters.values().map(|canister| (canister.id, canister_tree(canister))).collect();
        let requests = self.ingress_history.iter().filter_map(|(id, record)| record.certified(id)).collect();
        Tree::join(vec![
            Tree::labeled("api_boundary_nodes", Tree::empty()),
            Tree::labeled("canister", by_id(canisters)),
            ranges_tree(&self.config.directory),
            Tree::labeled("request_status", Tree::join(requests)),
            Tree::labeled("subnet", self.subnets_tree()),
            Tree::labeled("time", Tree::leaf(leb128(self.time_nanos))),
        ])
    }

    /// Makes what stands below paths of which the state tree holds digests only.
    fn contents(&self, path: &[&[u8]]) -> Option<Tree> {
        match path {
            [b"request_status", id] => {
                let id = MessageId((*id).try_into().ok()?);
                request_tree(&self.ingress_history.get(&id)?.status)
            }
            [b"canister", id, b"metadata", name] => {
                let canister = self.canisters.get(&Principal::try_from_slice(id).ok()?)?;
                let sections = canister.code.as_ref()?.module.custom_sections();
                Some(Tree::leaf(sections.get(std::str::from_utf8(name).ok()?)?.content.clone()))
            }
            _ => None,
        }
    }

    /// Makes `/subnet`: all that the network knows of others, and of this one also its nodes and figures.
    fn subnets_tree(&self) -> Tree {
        let of = |(id, entry): (&Principal, &SubnetEntry)| {
            let own = match *id == self.config.id {
                true => vec![Tree::labeled("metrics", Tree::leaf(self.metrics())), self.nodes_tree()],
                false => Vec::new(),
            };
            (*id, Tree::join(entry.subtrees(&own)))
        };
        by_id(self.config.directory.iter().map(of).collect())
    }

    fn nodes_tree(&self) -> Tree {
        let of = |node: &NodeKey| (node.id, Tree::labeled("public_key", Tree::leaf(node.public_key.clone())));
        Tree::labeled("node", by_id(self.config.node_keys.iter().map(of).collect()))
    }

    /// Writes the figures of this subnet under the numbers of their fields, as the platform does.
    fn metrics(&self) -> Vec<u8> {
        let consumed: u128 = self.canisters.values().map(|canister| canister.account.consumed).sum();
        let consumed = consumed + self.ledger.burned;
        let mut out = Writer::self_described();
        out.map(4);
        out.unsigned(0);
        out.unsigned(self.canisters.len() as u64);
        out.unsigned(1);
        out.unsigned(self.totals.memory_bytes);
        out.unsigned(2);
        out.map(2);
        out.unsigned(0);
        out.unsigned(consumed as u64);
        out.unsigned(1);
        match (consumed >> 64) as u64 {
            0 => out.null(),
            high => out.unsigned(high),
        }
        out.unsigned(3);
        out.unsigned(self.messages_executed);
        out.finish()
    }
}

fn canister_tree(canister: &Canister) -> Tree {
    let mut controllers = Writer::self_described();
    controllers.array(canister.settings.controllers.len());
    canister.settings.controllers.iter().for_each(|id| controllers.bytes(id.as_slice()));
    let controllers = Tree::labeled("controllers", Tree::leaf(controllers.finish()));
    let Some(code) = &canister.code else { return controllers };
    Tree::join(vec![
        Tree::labeled("certified_data", Tree::leaf(canister.certified_data.clone())),
        controllers,
        Tree::labeled("metadata", code.metadata.get_or_init(|| metadata_tree(code)).clone()),
        Tree::labeled("module_hash", Tree::leaf(code.module_hash)),
    ])
}

/// Makes the tree of a module's metadata, whose contents stand in it as digests.
fn metadata_tree(code: &Code) -> Tree {
    let section = |(name, section): (&String, &crate::wasm::CustomSection)| {
        Tree::labeled(name.as_bytes(), Tree::pruned(Tree::leaf(section.content.clone()).digest()))
    };
    Tree::join(code.module.custom_sections().iter().map(section).collect())
}

/// Makes the tree of a request, None for one that no round has taken.
fn request_tree(status: &IngressStatus) -> Option<Tree> {
    let leaf = |label: &str, contents: &[u8]| Tree::labeled(label, Tree::leaf(contents));
    Some(match status {
        IngressStatus::Unknown | IngressStatus::Received => return None,
        IngressStatus::Processing => leaf("status", b"processing"),
        IngressStatus::Replied(data) => Tree::join(vec![leaf("reply", data), leaf("status", b"replied")]),
        IngressStatus::Rejected(error) => Tree::join(vec![
            leaf("error_code", error.code.to_string().as_bytes()),
            leaf("reject_code", &leb128(error.code.reject_code() as u64)),
            leaf("reject_message", error.message.as_bytes()),
            leaf("status", b"rejected"),
        ]),
        IngressStatus::Done => leaf("status", b"done"),
    })
}

impl IngressRecord {
    /// Returns the request's place in the tree with the digest of what is below, which is reckoned once.
    fn certified(&self, id: &MessageId) -> Option<Tree> {
        let make = || Some(Tree::labeled(id.0, Tree::pruned(request_tree(&self.status)?.digest())));
        match self.certified.get() {
            Some(tree) => Some(tree.clone()),
            None => make().inspect(|tree| drop(self.certified.set(tree.clone()))),
        }
    }
}
