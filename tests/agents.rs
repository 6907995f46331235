//! Users with an unmodified agent: signed requests, certificates and signatures of nodes that it verifies.

use std::rc::Rc;
use std::time::Duration;

use candid::Principal;
use canopy_types::codec::{decode, encode};
use canopy_types::limits::VALUE_BYTES_MAX;
use canopy_types::{GetResult, PutResult, Record};
use ic_agent::identity::{BasicIdentity, Secp256k1Identity};
use ic_agent::{Agent, AgentError, Identity};
use tokio::runtime::Runtime;

use crate::cluster::{Cluster, Pace, get_arguments, put_arguments};
use crate::server;

/// A live network keeps its own time.
pub const LIVE: Pace = Pace { time: Duration::ZERO, rounds: 1 };

/// A router on a live network, and an agent that may write.
pub struct Service {
    pub runtime: Runtime,
    pub cluster: Cluster,
    pub url: String,
}

impl Service {
    pub fn for_writer(writer: Principal) -> Self {
        let mut pic = server::instance_for_agents();
        let url = pic.make_live(None).to_string();
        let cluster = Cluster::builder().instance(Rc::new(pic)).writers(vec![writer]).deploy();
        cluster.wait("ready", LIVE, |status| status.ready);
        Self { runtime: Runtime::new().expect("threads"), cluster, url }
    }

    pub fn agent(&self, identity: impl Identity + 'static) -> Agent {
        let agent = Agent::builder().with_url(&self.url).with_identity(identity).build().expect("an agent");
        self.runtime.block_on(agent.fetch_root_key()).expect("the status tells the root key");
        agent
    }

    fn put(&self, agent: &Agent, key: &[u8], value: &[u8]) -> Result<PutResult, AgentError> {
        let call = agent.update(&self.cluster.router, "put").with_arg(encode(&put_arguments(key, value)));
        let reply = self.runtime.block_on(call.call_and_wait())?;
        Ok(decode(&reply).expect("a put answers what its interface says"))
    }

    fn get(&self, agent: &Agent, key: &[u8]) -> Result<GetResult, AgentError> {
        let call = agent.update(&self.cluster.router, "get").with_arg(encode(&get_arguments(key)));
        let reply = self.runtime.block_on(call.call_and_wait())?;
        Ok(decode(&reply).expect("a get answers what its interface says"))
    }

    fn get_query(&self, agent: &Agent, key: &[u8]) -> Result<GetResult, AgentError> {
        let call = agent.query(&self.cluster.router, "get_query").with_arg(encode(&get_arguments(key)));
        let reply = self.runtime.block_on(call.call())?;
        Ok(decode(&reply).expect("a get answers what its interface says"))
    }
}

#[test]
fn agent_puts_and_gets_on_a_live_network() {
    let writer = BasicIdentity::from_raw_key(&[1; 32]);
    let service = Service::for_writer(writer.sender().expect("a sender"));
    let agent = service.agent(writer);
    let largest = vec![7; VALUE_BYTES_MAX];
    for (key, value) in [(&b"greeting"[..], &b"hello"[..]), (b"large", &largest)] {
        let version = service.put(&agent, key, value).expect("replied").expect("a writer's put is done").version;
        let found = |record: Option<Record>| record.map(|record| (record.value.into_vec(), record.version));
        let expected = Some((value.to_vec(), version));
        assert_eq!(found(service.get(&agent, key).expect("replied").expect("answered")), expected);
        assert_eq!(found(service.get_query(&agent, key).expect("replied").expect("answered")), expected);
    }
    assert_eq!(service.get(&agent, b"nothing").expect("replied").expect("answered"), None);
}

#[test]
fn agent_of_a_stranger_is_refused_before_anything_runs() {
    let writer = BasicIdentity::from_raw_key(&[1; 32]);
    let service = Service::for_writer(writer.sender().expect("a sender"));
    let key = k256::SecretKey::from_slice(&[2; 32]).expect("a key");
    let stranger = service.agent(Secp256k1Identity::from_private_key(key));
    let refused = service.put(&stranger, b"greeting", b"hello");
    assert!(matches!(refused, Err(AgentError::UncertifiedReject { .. })), "{refused:?}");
    assert_eq!(service.get(&service.agent(writer), b"greeting").expect("replied").expect("answered"), None);
}
