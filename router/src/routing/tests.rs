use super::*;
use canopy_types::limits::SECRET_BYTES;
use canopy_types::{Epoch, HashRange, Route};

fn routing(count: u32) -> Routing {
    let route = |index| Route {
        range: HashRange::FULL.part(index, count).unwrap(),
        shard: Principal::from_slice(&[index as u8]),
        epoch: Epoch::FIRST,
    };
    let secret = HashSecret::new(std::array::from_fn::<_, SECRET_BYTES, _>(|at| at as u8));
    Routing { secret, table: RoutingTable { routes: (0..count).map(route).collect() } }
}

#[test]
fn keys_spread_over_the_shards() {
    let routing = routing(4);
    let mut seen = std::collections::BTreeMap::new();
    for number in 0u32..4000 {
        *seen.entry(route(Some(&routing), &number.to_be_bytes()).unwrap()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 4);
    assert!(seen.values().all(|&keys| (850..1150).contains(&keys)), "{seen:?}");
}

#[test]
fn lengths_are_checked_before_readiness() {
    assert_eq!(route(None, b""), Err(Refusal::KeyEmpty));
    assert_eq!(route(None, &[0; KEY_BYTES_MAX + 1]), Err(Refusal::KeyTooLong { bytes: 1025, bytes_max: 1024 }));
    assert!(matches!(route(None, b"k"), Err(Refusal::NotReady { .. })));
    assert_eq!(
        check_value(&vec![0; VALUE_BYTES_MAX + 1]),
        Err(Refusal::ValueTooLong { bytes: 1_048_577, bytes_max: 1_048_576 })
    );
}
