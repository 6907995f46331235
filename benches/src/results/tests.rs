use super::{Figure, Figures, Key, Measure, Structure, compare};

fn figures(measured: &[(&str, u64)]) -> Figures {
    let mut figures = Figures::default();
    for (operation, measured) in measured {
        let key = Key {
            structure: Structure::Store,
            value_bytes: 100,
            records: 20_000,
            operation: operation.to_string(),
            measure: Measure::Batch,
        };
        figures.add(Figure { key, measured: *measured, budget: None });
    }
    figures
}

#[test]
fn comparison_names_figures_that_are_more_than_two_percent_dearer() {
    let committed = figures(&[("get", 1_000), ("put", 1_000), ("walk", 1_000)]);
    let comparison = compare(&committed, &figures(&[("get", 1_020), ("put", 1_021), ("walk", 900)]));
    let faults = comparison.faults();
    assert_eq!(
        faults,
        [
            "regression: store, 20 k x 100 B: put, instructions in a batch: 1000 committed, 1021 measured (at most 2 % more)"
        ]
    );
    assert!(comparison.to_string().contains("improved, run with --update: store, 20 k x 100 B: walk"));
}

#[test]
fn comparison_names_figures_that_are_missing_on_either_side() {
    let faults = compare(&figures(&[("get", 1_000)]), &figures(&[("put", 1_000)])).faults();
    assert_eq!(faults.len(), 2);
    assert!(faults[0].ends_with("get, instructions in a batch: 1000 committed, not measured"), "{faults:?}");
    assert!(faults[1].starts_with("not committed: store, 20 k x 100 B: put"), "{faults:?}");
}

#[test]
#[should_panic(expected = "measured twice")]
fn figures_are_measured_once() {
    figures(&[("get", 1), ("get", 2)]);
}

#[test]
fn committed_figures_hold_their_budgets() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/results")).unwrap();
    let names: Vec<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let figures: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".json")).collect();
    for name in [crate::costs::NAME, crate::store::Plan::small().name, crate::load::Plan::small().name] {
        assert!(figures.contains(&name), "{names:?}");
    }
    for name in figures {
        let figures = Figures::load(name).unwrap();
        assert!(figures.all().count() > 20, "{name}");
        assert_eq!(figures.over_budget(), Vec::<&Figure>::new(), "{name}");
        let checks = [super::checks::all(&figures), crate::load::checks::all(&figures)].concat();
        let broken: Vec<_> = checks.into_iter().filter(|check| !check.holds()).collect();
        assert_eq!(broken, [], "{name}");
    }
}

/// What CI measures: as `canopy-benches store --compare`.
#[test]
fn small_benchmark_is_no_dearer_than_committed() {
    let plan = crate::store::Plan::small();
    let measured = crate::store::run(&plan, None);
    let comparison = compare(&Figures::load(plan.name).unwrap(), &measured);
    println!("{comparison}");
    assert_eq!(comparison.faults(), Vec::<String>::new(), "`cargo run --release -p canopy-benches -- store --update`");
    assert_eq!(measured.over_budget(), Vec::<&Figure>::new());
}

/// As `canopy-benches costs --compare`.
#[test]
fn operations_are_no_dearer_than_committed() {
    let measured = crate::costs::run();
    let comparison = compare(&Figures::load(crate::costs::NAME).unwrap(), &measured);
    println!("{comparison}");
    assert_eq!(comparison.faults(), Vec::<String>::new(), "`cargo run --release -p canopy-benches -- costs --update`");
    assert_eq!(measured.over_budget(), Vec::<&Figure>::new());
}
