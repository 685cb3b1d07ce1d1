//! Policies of somebody's own: read from JSON, laid over one of ours where they say so, and known by name from then on.

use std::sync::{PoisonError, RwLock};

use serde_json::{Map, Value};

use super::{Policy, SOURCES, file};
use crate::error::{Error, Result};
use crate::units::clip;

/// Whoever adds so many adds them by mistake: what was added once stays, for estimates refer to it.
const MOST: usize = 1_000;

static OWN: RwLock<Vec<&'static Policy>> = RwLock::new(Vec::new());

impl Policy {
    /// The policy that a JSON object writes, with the keys of a table in the files of this library. What it leaves out
    /// stands as in the policy that `like` names; without `like`, nothing may be left out.
    ///
    /// # Errors
    /// [`Error::Argument`] called `runtime` or `formula` with the key and reason for a text that is no such object.
    pub fn from_json(text: &str) -> Result<Self> {
        let given: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let Value::Object(mut given) = given else { return Err(wrong("no object of keys".to_owned())) };
        let whole = match given.remove("like") {
            None | Some(Value::Null) => given,
            Some(Value::String(name)) => {
                let mut base = table_of(&name)?;
                lay(&mut base, given);
                base
            }
            Some(other) => return Err(wrong(format!("like: {} names no runtime", clip(&other.to_string())))),
        };
        let policy = file::own(whole)?;
        for (key, text) in [("runtime", &policy.runtime), ("version", &policy.version)] {
            let is_plain = text.chars().all(|sign| sign.is_ascii_alphanumeric() || "._- ".contains(sign));
            if text.trim().is_empty() || text.len() > 60 || !is_plain {
                return Err(wrong(format!(
                    "{key}: {:?} is no name of letters, digits, . - and _",
                    clip(text)
                )));
            }
        }
        Ok(policy)
    }

    /// Makes a policy known by its name, as those of this library are; another of that name and version gives way to it.
    ///
    /// # Errors
    /// [`Error::Argument`] called `runtime` for a name or alias that a runtime of this library has, and beyond a thousand.
    pub fn add(self) -> Result<&'static Self> {
        for name in self.aliases.iter().chain([&self.runtime]) {
            if let Some(other) = Self::all().iter().find(|other| other.is_called(name)) {
                return Err(wrong(format!("{name:?} is the built-in {}@{}", other.runtime, other.version)));
            }
        }
        let mut own = OWN.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = own.iter().find(|known| ***known == self) {
            return Ok(known);
        }
        if own.len() >= MOST {
            return Err(wrong(format!("{MOST} were added already")));
        }
        let added: &'static Self = Box::leak(Box::new(self));
        own.retain(|known| !(known.is_called(&added.runtime) && known.version == added.version));
        own.push(added);
        Ok(added)
    }

    /// The policies that were added.
    #[must_use]
    pub fn own() -> Vec<&'static Self> {
        OWN.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(super) fn wrong(reason: String) -> Error {
    Error::Argument { name: "runtime", reason }
}

/// The table of one of ours, without what belongs to its name.
fn table_of(name: &str) -> Result<Map<String, Value>> {
    let base = Policy::built_in(name)?;
    let tables = SOURCES.iter().filter_map(|text| toml::from_str::<Value>(text).ok());
    let mut tables = tables.filter_map(|mut file| match file.get_mut("policy")?.take() {
        Value::Array(tables) => Some(tables),
        _ => None,
    });
    let is_meant = |table: &Value| {
        let text = |key: &str| table.get(key).and_then(Value::as_str);
        text("runtime") == Some(&base.runtime) && text("version") == Some(&base.version)
    };
    let table = tables.find_map(|tables| tables.into_iter().find(|table| is_meant(table)));
    let Some(Value::Object(mut table)) = table else {
        return Err(wrong(format!("like: {:?} has no table", clip(name))));
    };
    for key in ["runtime", "version", "aliases", "on_ios", "source", "date"] {
        table.remove(key);
    }
    Ok(table)
}

/// Lays what is `given` over `base`, table by table; the ends of an interval belong together.
fn lay(base: &mut Map<String, Value>, given: Map<String, Value>) {
    for (key, value) in given {
        match (base.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) if !above.contains_key("best") => {
                lay(below, above);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(extra: &str) -> String {
        format!(r#"{{"runtime": "mine", "version": "1", "source": "a test", "date": "2026-11-22", {extra}}}"#)
    }

    fn reason(text: &str) -> String {
        match Policy::from_json(text) {
            Err(Error::Argument { name, reason }) => format!("{name}: {reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_policy_of_ours_can_be_laid_over() {
        for ours in Policy::all() {
            let name = format!("{}@{}", ours.runtime, ours.version);
            let mine = Policy::from_json(&with(&format!(r#""like": "{name}""#))).unwrap();
            assert_eq!(mine.activations, ours.activations, "{name}");
            assert_eq!((&mine.schemes, mine.offload), (&ours.schemes, ours.offload), "{name}");
            assert_eq!((mine.aliases.len(), mine.on_ios), (0, None), "{name}");
        }
    }

    #[test]
    fn what_is_given_stands_and_the_rest_is_taken_over() {
        let text = r#""like": "numpy", "terms": {"fixed": "7*MB"},
            "overhead": {"decoder": {"lo": "0", "best": "fixed", "hi": "best*2"}, "graph": "3*MB"}"#;
        let (mine, numpy) = (Policy::from_json(&with(text)).unwrap(), Policy::of("numpy").unwrap());
        let bytes = |bounds: &super::super::Bounds| {
            let found = bounds.evaluate(&super::super::Values::default(), "test").unwrap();
            [found.lo.get(), found.best.get(), found.hi.get()]
        };
        assert_eq!(bytes(&mine.overhead.decoder), [0, 7_000_000, 14_000_000]);
        assert_eq!(bytes(&mine.overhead.graph), [3_000_000; 3]);
        assert_eq!(mine.overhead.encoder, numpy.overhead.encoder);
        assert_eq!(mine.kv_cache, numpy.kv_cache);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, says) in [
            ("[]", "no object"),
            ("{", "runtime: EOF"),
            ("{}", "missing field `runtime`"),
            (&*with(r#""like": "numpi""#), "\"numpi\" is not one of"),
            (&*with(r#""like": 3"#), "like: 3 names no runtime"),
            (&*with(r#""like": "numpy", "overhed": {}"#), "unknown field `overhed`"),
            (&*with(r#""like": "numpy", "overhead": {"decodr": "0"}"#), "overhead: unknown field `decodr`"),
            (&*with(r#""like": "numpy", "overhead": {"decoder": 7}"#), "overhead"),
            (&*with(r#""like": "numpy", "overhead": {"decoder": "7*MBB"}"#), "MBB"),
            (&*with(r#""like": "numpy", "state": {"recurrent": [1, 2]}"#), "state"),
            (&*with(r#""like": "numpy", "kv_dtypes": ["f7"]"#), "f7"),
            (&*with(r#""like": "numpy", "version": """#), "version"),
        ] {
            let found = reason(text);
            assert!(found.contains(says), "{text} gives {found:?}, not {says:?}");
        }
    }

    #[test]
    fn one_that_was_added_is_known_by_its_name() {
        let named = |runtime: &str, overhead: &str| {
            let text = format!(
                r#"{{"runtime": "{runtime}", "version": "1", "source": "a test", "date": "", "like": "numpy",
                    "overhead": {{"graph": "{overhead}"}}}}"#
            );
            Policy::from_json(&text).unwrap().add()
        };
        assert!(Policy::of("own-test").is_err());
        let first = named("own-test", "1").unwrap();
        assert!(std::ptr::eq(first, named("own-test", "1").unwrap()), "the same once more");
        let second = named("own-test", "2").unwrap();
        assert_eq!(Policy::of("OWN_TEST@1").unwrap(), second);
        assert!(Policy::own().contains(&second) && !Policy::own().contains(&first));
        for taken in ["llama.cpp", "NumPy", "ollama"] {
            assert!(named(taken, "1").is_err(), "{taken}");
        }
    }
}
