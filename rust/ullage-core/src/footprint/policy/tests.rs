use proptest::prelude::*;

use super::*;
use crate::units::Bytes;

fn value(text: &str) -> Result<u64> {
    let values = Values::default().with(Variable::Hidden, 10).with(Variable::Vocabulary, 7);
    text.parse::<Expression>()?.evaluate(&values, "test").map(Bytes::get)
}

#[test]
fn formulas_are_whole_numbers() {
    for (text, expected) in [
        ("1 + 2*3", 7),
        ("(1 + 2)*3", 9),
        ("7/2", 3),
        ("7 - 9", 0),
        ("20 - 5 - 5", 10),
        ("hidden*vocabulary", 70),
        ("max(hidden, vocabulary, 12, 3)", 12),
        ("min(max(hidden, 3), vocabulary)", 7),
        ("pad(257, 256)", 512),
        ("pad(0, 256)", 0),
        ("pad(5, 0)", 0),
        ("5/0", 0),
        ("1_000*kB", 1_000_000),
        ("2*GiB", 2 << 30),
        ("0*context", 0),
    ] {
        assert_eq!(value(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn what_is_no_formula_is_said() {
    for text in ["", "1 +", "(1", "1)", "hiden", "max(1)", "pad(1, 2, 3)", "1 2", "-1", "1.5", "é", "max 1"]
    {
        assert!(matches!(value(text), Err(Error::Argument { name: "formula", .. })), "{text}");
    }
    let deep = "(".repeat(100_000);
    assert!(matches!(value(&deep), Err(Error::Argument { .. })));
    let long = "1+".repeat(1_000_000) + "1";
    assert!(matches!(value(&long), Err(Error::Argument { name: "formula", .. })));
    assert!(matches!(value("4294967296*4294967296"), Err(Error::Overflow { what: "test" })));
    assert!(matches!(value("GiB*GiB*GiB*GiB*GiB"), Err(Error::Overflow { .. })));
}

#[test]
fn every_policy_file_is_read_and_has_a_source() {
    let names: Vec<&str> = Policy::all().iter().map(|policy| policy.runtime.as_str()).collect();
    for name in [
        "generic",
        "llama.cpp",
        "vllm",
        "transformers",
        "onnxruntime",
        "executorch-xnnpack",
        "coreml",
        "numpy",
    ] {
        assert!(names.contains(&name), "{name} is missing of {names:?}");
    }
    for policy in Policy::all() {
        assert!(!policy.source.is_empty() && policy.date.len() == 10, "{policy:?}");
        assert!(policy.on(true).is_ok());
    }
}

#[test]
fn a_policy_is_found_by_runtime_version_and_other_names() {
    assert_eq!(Policy::of("llama.cpp").unwrap().runtime, "llama.cpp");
    assert_eq!(Policy::of("LLAMA_CPP@0.5").unwrap().runtime, "llama.cpp");
    assert_eq!(Policy::of("ollama").unwrap().runtime, "llama.cpp");
    assert_eq!(Policy::of("coreml").unwrap().version, "ios17");
    assert_eq!(Policy::of("coreml@ios16").unwrap().residency, Residency::Copied);
    let ios = Policy::of("executorch").unwrap().on(true).unwrap();
    assert_eq!(ios.runtime, "executorch-xnnpack-ios");
    for name in ["", "llama.cpp@1.0", "tensorrt"] {
        match Policy::of(name) {
            Err(Error::Argument { name: "runtime", reason }) => assert!(reason.contains("vllm@"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_broken_policy_file_says_where() {
    for (text, part) in [
        ("", "policy"),
        ("[[policy]]\nruntime = 1", "line 2"),
        ("[[policy]]\nruntime = \"x\"\nverzion = \"1\"", "verzion"),
    ] {
        match Policy::read(text) {
            Err(Error::Argument { name: "policy", reason }) => assert!(reason.contains(part), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    let good = include_str!("data/numpy.toml");
    let broken = good.replace("4*parameters", "4*parmeters");
    assert!(matches!(Policy::read(&broken), Err(Error::Argument { name: "formula", .. })));
}

proptest! {
    #[test]
    fn any_text_is_a_formula_or_a_fault(text in "[ a-z0-9+*/(),_-]{0,40}") {
        let _ = value(&text);
    }

    #[test]
    fn bounds_are_in_order(numbers in prop::collection::vec(0..1_u64 << 12, Variable::ALL.len())) {
        let values = Variable::ALL.iter().zip(numbers).fold(
            Values::default(),
            |values, (&(_, variable), number)| values.with(variable, number),
        );
        for policy in Policy::all() {
            for kinds in [&policy.activations, &policy.overhead] {
                for bounds in [&kinds.decoder, &kinds.encoder, &kinds.graph, &kinds.unknown] {
                    let interval = bounds.evaluate(&values, "test").unwrap();
                    prop_assert!(interval.lo <= interval.best && interval.best <= interval.hi);
                }
            }
        }
    }
}
