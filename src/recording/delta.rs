//! What changed between two views, as a JSON merge patch (RFC 7396).
//!
//! A merge patch can only name members of objects, and takes `null` for "gone". So what is patched is packed first: what is
//! `null` is left out, which to every reader is the same, and a list of objects becomes an object of its places with its
//! length under `[]`, so that a patch can tell one member's figure without repeating the others.

use serde_json::{Map, Value};

/// The length of a packed list stands under this name, which no field has.
const LENGTH: &str = "[]";

/// As it is patched.
#[must_use]
pub fn pack(value: Value) -> Value {
    match value {
        // A list of plain values changes as a whole.
        Value::Array(list) if list.iter().all(|v| !v.is_object() && !v.is_array()) => Value::Array(list),
        Value::Array(list) => {
            let mut map = Map::new();
            map.insert(LENGTH.to_owned(), list.len().into());
            for (i, v) in list.into_iter().enumerate() {
                map.insert(i.to_string(), pack(v));
            }
            Value::Object(map)
        }
        Value::Object(map) => {
            let told = map.into_iter().filter(|(_, v)| !v.is_null());
            Value::Object(told.map(|(k, v)| (k, pack(v))).collect())
        }
        plain => plain,
    }
}

/// As it was before it was packed, without what was `null`.
#[must_use]
pub fn unpack(value: &Value) -> Value {
    match value {
        Value::Object(map) => match map.get(LENGTH).and_then(Value::as_u64) {
            // A place that is not told is none: nothing is made of a length alone.
            Some(length) => {
                let place = |i: u64| map.get(&i.to_string()).map(unpack);
                Value::Array((0..length.min(map.len() as u64)).map_while(place).collect())
            }
            None => Value::Object(map.iter().map(|(k, v)| (k.clone(), unpack(v))).collect()),
        },
        plain => plain.clone(),
    }
}

/// The patch that makes `after` of `before`; none when they are the same. Both are packed.
#[must_use]
pub fn diff(before: &Value, after: &Value) -> Option<Value> {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let mut patch = Map::new();
            for key in a.keys().filter(|k| !b.contains_key(*k)) {
                patch.insert(key.clone(), Value::Null);
            }
            for (key, new) in b {
                match a.get(key) {
                    Some(old) => {
                        if let Some(change) = diff(old, new) {
                            patch.insert(key.clone(), change);
                        }
                    }
                    None => {
                        patch.insert(key.clone(), new.clone());
                    }
                }
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ => (before != after).then(|| after.clone()),
    }
}

/// Applies a patch.
pub fn apply(to: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *to = patch;
        return;
    };
    if !to.is_object() {
        *to = Value::Object(Map::new());
    }
    let Value::Object(map) = to else { return };
    for (key, change) in patch {
        if change.is_null() {
            map.remove(&key);
        } else {
            apply(map.entry(key).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<u64>().prop_map(Value::from),
            (-1e12_f64..1e12).prop_map(Value::from),
            "[a-z]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                // No list of a view has gaps: what is not known is a field.
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|l| Value::Array(l.into_iter().filter(|v| !v.is_null()).collect())),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    /// Without what is null in objects: to a reader that is the same.
    fn told(value: &Value) -> Value {
        match value {
            Value::Array(list) => Value::Array(list.iter().map(told).collect()),
            Value::Object(map) => Value::Object(
                map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), told(v))).collect(),
            ),
            plain => plain.clone(),
        }
    }

    proptest! {
        #[test]
        fn a_patch_makes_the_one_of_the_other(before in any_json(), after in any_json()) {
            let (packed, wanted) = (pack(before), pack(after.clone()));
            let mut patched = packed.clone();
            if let Some(patch) = diff(&packed, &wanted) {
                // As it is written and read.
                let text = serde_json::to_string(&patch).unwrap();
                apply(&mut patched, serde_json::from_str(&text).unwrap());
            }
            prop_assert_eq!(&patched, &wanted);
            prop_assert_eq!(unpack(&patched), told(&after));
        }

        #[test]
        fn no_patch_panics(mut value in any_json(), patch in any_json()) {
            apply(&mut value, patch);
            let _ = unpack(&value);
        }
    }

    #[test]
    fn the_examples_of_the_rfc() {
        for (target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let mut patched = target.clone();
            apply(&mut patched, patch.clone());
            assert_eq!(patched, result, "{target} with {patch}");
        }
    }

    #[test]
    fn a_patch_of_a_list_names_the_place() {
        let list =
            |lag: u64| pack(json!({"members": [{"name": "m1", "lag": 0}, {"name": "m2", "lag": lag}]}));
        assert_eq!(diff(&list(1), &list(7)), Some(json!({"members": {"1": {"lag": 7}}})));
        assert_eq!(diff(&list(1), &list(1)), None);
    }
}
