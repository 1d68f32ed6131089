//! The members of a request's JSON, read as leniently as Java's binding reads them: unknown members are ignored, a
//! repeated one counts last, a scalar of any type is its text, a single value is a list of one, and null is absence.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tessera_enclave::base64::{self, Base64Error};

use super::problem::Problem;

/// Every member of every request that this node reads, as text.
#[derive(Debug, Default)]
pub(crate) struct Members<'a> {
    pub(crate) payload: Option<Cow<'a, str>>,
    pub(crate) hash: Option<Cow<'a, str>>,
    pub(crate) from: Option<Cow<'a, str>>,
    pub(crate) to: Vec<Cow<'a, str>>,
    pub(crate) privacy_flag: Option<Cow<'a, str>>,
    pub(crate) affected: Vec<Cow<'a, str>>,
    pub(crate) exec_hash: Option<Cow<'a, str>>,
    pub(crate) privacy_group_id: Option<Cow<'a, str>>,
    pub(crate) mandatory_recipients: Vec<Cow<'a, str>>,
}

impl<'a> Members<'a> {
    /// Parses a body.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body).map_err(|_| {
            // An array of objects is bound, and then is not what the resource expects.
            if array_of_objects(body) {
                Problem::internal("argument type mismatch")
            } else {
                Problem::bad_request()
            }
        })
    }

    /// The flag; whatever is no known flag is 0.
    pub(crate) fn flag(&self) -> u64 {
        self.privacy_flag.as_deref().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }
}

/// A byte array: what is not base64 in it is dropped.
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>, Problem> {
    base64::decode_lenient(text).map_err(not_base64)
}

/// A key or hash: what is not base64 in it is an error, and one of the server, as in Java.
pub(crate) fn not_base64(error: Base64Error) -> Problem {
    Problem::internal(error.to_string())
}

/// Of keys or hashes in one request: more than any network has.
const MOST_ITEMS: usize = 1 << 16;

fn array_of_objects(body: &[u8]) -> bool {
    serde_json::from_slice::<Vec<AnObject>>(body).is_ok_and(|list| !list.is_empty())
}

/// Any object. It has no size, so neither has a list of them, however long.
struct AnObject;

impl<'de> Deserialize<'de> for AnObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnObjectVisitor)
    }
}

struct AnObjectVisitor;

impl<'de> Visitor<'de> for AnObjectVisitor {
    type Value = AnObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(AnObject)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(Text(name)) = map.next_key()? {
            match &*name {
                "payload" => members.payload = scalar(&mut map)?,
                "hash" => members.hash = scalar(&mut map)?,
                "from" => members.from = scalar(&mut map)?,
                "to" => members.to = list(&mut map)?,
                "privacyFlag" => members.privacy_flag = scalar(&mut map)?,
                "affectedContractTransactions" => members.affected = list(&mut map)?,
                "execHash" => members.exec_hash = scalar(&mut map)?,
                "privacyGroupId" => members.privacy_group_id = scalar(&mut map)?,
                "mandatoryRecipients" => members.mandatory_recipients = list(&mut map)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(members)
    }
}

fn scalar<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(map.next_value::<Option<Text<'de>>>()?.map(|text| text.0))
}

fn list<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Vec<Cow<'de, str>>, A::Error> {
    Ok(map.next_value::<Option<List<'de>>>()?.map(|list| list.0).unwrap_or_default())
}

/// The text of any scalar, borrowed where it needs no unescaping: payloads are large.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, number or boolean")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }
}

struct List<'a>(Vec<Cow<'a, str>>);

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of strings, or one string")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Option<Text<'de>>>()? {
            // A list of empty strings would take many times its body's room.
            if list.len() == MOST_ITEMS {
                return Err(A::Error::custom("too many items"));
            }
            list.extend(item.map(|text| text.0));
        }
        Ok(List(list))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(List(vec![Cow::Borrowed(text)]))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(List(vec![Cow::Owned(text.to_owned())]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_oneof};
    use proptest::{prop_assert_eq, prop_assume};
    use serde_json::{Value, json};

    use super::*;

    fn parse(body: &str) -> Result<Members<'_>, Problem> {
        Members::parse(body.as_bytes())
    }

    #[test]
    fn a_ledger_nodes_request_is_read() {
        let members = parse(
            "{\"payload\":\"aGk=\",\"to\":[],\"privacyFlag\":1,\"affectedContractTransactions\":[],\
             \"mandatoryRecipients\":null,\"more\":{\"a\":[1]}}\n",
        )
        .unwrap();
        assert_eq!(members.payload.as_deref(), Some("aGk="));
        assert_eq!((members.to.len(), members.flag(), members.mandatory_recipients.len()), (0, 1, 0));
    }

    #[test]
    fn scalars_and_lists_are_lenient() {
        let members = parse(r#"{"payload":1234,"to":"a","privacyFlag":"0","from":null}"#).unwrap();
        assert_eq!(members.payload.as_deref(), Some("1234"));
        assert_eq!((members.to, members.from), (vec![Cow::Borrowed("a")], None));
        assert_eq!(parse(r#"{"privacyFlag":"abc"}"#).unwrap().flag(), 0);
        assert_eq!(parse(r#"{"payload":"a","payload":"b"}"#).unwrap().payload.as_deref(), Some("b"));
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        for body in ["", "{", "[]", "garbage", "{\"to\":{}}", "{\"payload\":[]}"] {
            assert_eq!(parse(body).unwrap_err(), Problem::bad_request(), "{body}");
        }
        assert_eq!(parse(r#"[{},{"a":[1]}]"#).unwrap_err(), Problem::internal("argument type mismatch"));
    }

    #[test]
    fn a_list_is_bounded() {
        let list = |items: usize| format!(r#"{{"to":["a"{}]}}"#, r#","""#.repeat(items - 1));
        assert_eq!(parse(&list(MOST_ITEMS)).unwrap().to.len(), MOST_ITEMS);
        assert_eq!(parse(&list(MOST_ITEMS + 1)).unwrap_err(), Problem::bad_request());
    }

    /// A JSON text: any value, with members of ours among the names.
    fn any_json() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(|value| json!(value)),
            any::<i64>().prop_map(|value| json!(value)),
            "[A-Za-z0-9+/=\"\\\\ü]{0,12}".prop_map(|value| json!(value)),
        ];
        let name = prop_oneof![
            Just("payload".to_owned()),
            Just("to".to_owned()),
            Just("from".to_owned()),
            "x[a-z]{0,7}"
        ];
        let value = scalar.prop_recursive(3, 24, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(|items| json!(items)),
                proptest::collection::hash_map(name.clone(), inner, 0..6).prop_map(|members| json!(members)),
            ]
        });
        value.prop_map(|value| value.to_string())
    }

    proptest::proptest! {
        #[test]
        fn what_is_no_json_is_a_bad_request(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assume!(serde_json::from_slice::<Value>(&body).is_err());
            prop_assert_eq!(Members::parse(&body).unwrap_err(), Problem::bad_request());
        }

        #[test]
        fn an_object_without_members_of_the_wrong_type_is_read(body in any_json()) {
            let value: Value = serde_json::from_str(&body).unwrap();
            let scalar = |name: &str| value.get(name).is_none_or(|member| !member.is_object() && !member.is_array());
            let list = |name: &str| match value.get(name) {
                Some(Value::Array(items)) => items.iter().all(|item| !item.is_object() && !item.is_array()),
                member => member.is_none_or(|member| member.is_null() || member.is_string()),
            };
            let right = value.is_object() && scalar("payload") && scalar("from") && list("to");
            prop_assert_eq!(Members::parse(body.as_bytes()).is_ok(), right, "{}", body);
        }

        #[test]
        fn any_payload_survives_any_neighbours(payload in "[A-Za-z0-9+/=]{0,64}", name in "x[a-z]{1,8}", flag: i64) {
            let body = json!({"payload": payload, name: [null, {"x": flag}], "privacyFlag": flag});
            let text = body.to_string();
            let members = Members::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(members.payload.as_deref(), Some(payload.as_str()));
            prop_assert_eq!(members.flag(), u64::try_from(flag).unwrap_or(0));
        }
    }
}
