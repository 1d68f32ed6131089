//! Requests as clients get them wrong, and the answers that they rely on.

use serde_json::json;

use crate::support::Net;
use crate::support::client::segment;

/// A byte that is not ASCII may stand in a header. A recipient that is dropped with it would be a payload that is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_that_is_not_ascii_is_refused_and_not_dropped() {
    let net = Net::new(&["a"]);
    let _nodes = net.start().await;
    let (client, key) = (net.node("a").client(), &net.node("a").public_key);
    for (header, value, status) in [
        ("c11n-to", [key.as_bytes(), b"\xa0"].concat(), 500),
        ("c11n-from", [key.as_bytes(), b"\xa0"].concat(), 400),
        ("c11n-from", Vec::new(), 200),
        ("c11n-to", key.as_bytes().to_vec(), 200),
    ] {
        let value = http::HeaderValue::from_bytes(&value).unwrap();
        let request = http::Request::post("/sendraw").header("host", "a").header(header, &value);
        let request = request.header("content-type", "application/octet-stream");
        let answer = client.try_send(request.body("x".into()).unwrap()).await.expect("an answer");
        assert_eq!(answer.status, status, "{header}: {value:?}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_request_has_its_answer() {
    let net = Net::new(&["a"]);
    let _nodes = net.start().await;
    let client = net.node("a").client();
    let stranger = tessera_enclave::base64::encode(&[9; 32]);
    let json_type = ("content-type", "application/json");
    let send = |body: serde_json::Value| ("POST", "/send".to_owned(), vec![json_type], body.to_string());
    let text = |body: &str| ("POST", "/send".to_owned(), vec![json_type], body.to_owned());
    let get = |path: &str| ("GET", path.to_owned(), vec![], String::new());

    let cases = [
        (text(""), 400, "HTTP 400 Bad Request".to_owned()),
        (text("{"), 400, "HTTP 400 Bad Request".to_owned()),
        (text("[]"), 400, "HTTP 400 Bad Request".to_owned()),
        (send(json!({})), 400, "may not be null (path = TransactionResource.send.arg0.payload".to_owned()),
        (send(json!({"payload": "!!!"})), 400, "size must be between 1".to_owned()),
        (send(json!({"payload": "_-8="})), 500, "Last unit does not have enough valid bits".to_owned()),
        (send(json!({"payload": "aGk=", "to": ["!"]})), 500, "at least have 2 bytes".to_owned()),
        (send(json!({"payload": "aGk=", "to": ["!!!!"]})), 500, "Illegal base64 character 21".to_owned()),
        (
            send(json!({"payload": "aGk=", "to": ["AAAA"]})),
            500,
            "Index 3 out of bounds for length 3".to_owned(),
        ),
        (
            send(json!({"payload": "aGk=", "from": ""})),
            404,
            "Public key  not found when searching for private key".to_owned(),
        ),
        (
            send(json!({"payload": "aGk=", "from": stranger})),
            404,
            format!("Public key {stranger} not found when searching for private key"),
        ),
        (send(json!({"payload": "aGk=", "privacyFlag": 3})), 400, "Exec hash missing".to_owned()),
        (
            send(json!({"payload": "aGk=", "privacyFlag": 1})),
            403,
            "Enhanced Privacy is not enabled".to_owned(),
        ),
        (send(json!({"payload": "aGk=", "execHash": "x"})), 500, "ExecutionHash data is invalid".to_owned()),
        (
            send(json!({"payload": "aGk=", "affectedContractTransactions": ["aGk="]})),
            403,
            "Unable to find affectedContractTransaction aGk=".to_owned(),
        ),
        (
            send(json!({"payload": "aGk=", "privacyGroupId": "aGk="})),
            404,
            "Privacy group Id[aGk=] not found".to_owned(),
        ),
        (("POST", "/send".into(), vec![], "{}".into()), 500, "HTTP 415 Unsupported Media Type".to_owned()),
        (
            (
                "POST",
                "/send".into(),
                vec![json_type, ("accept", "application/vnd.tessera-2.1+json")],
                "{}".into(),
            ),
            500,
            "HTTP 406 Not Acceptable".to_owned(),
        ),
        (("DELETE", "/send".into(), vec![], String::new()), 500, "HTTP 405 Method Not Allowed".to_owned()),
        (get("/nothing"), 404, "HTTP 404 Not Found".to_owned()),
        (get("//upcheck"), 400, "Ambiguous".to_owned()),
        (get("/transaction/!!!"), 400, "{ValidBase64.message}".to_owned()),
        (get("/transaction/aGk=?isRaw=perhaps"), 400, "must match".to_owned()),
        (get("/transaction/aGk="), 404, "Message with hash aGk= was not found".to_owned()),
        (get("/transaction/aGk=?isRaw=TRUE"), 404, "Raw Message with hash aGk= was not found".to_owned()),
        (get("/receiveraw"), 400, "may not be null".to_owned()),
        (
            ("GET", "/receiveraw".into(), vec![("c11n-key", "invalidhashvalue")], String::new()),
            404,
            "Message with hash invalidhashvalue was not found".to_owned(),
        ),
        (
            ("POST", "/sendsignedtx".into(), vec![json_type], json!({"hash": "aGk="}).to_string()),
            404,
            "Raw Transaction with hash aGk= was not found".to_owned(),
        ),
        (
            ("POST", "/sendraw".into(), vec![("content-type", "application/octet-stream")], String::new()),
            400,
            "size must be".to_owned(),
        ),
        (
            (
                "POST",
                "/sendraw".into(),
                vec![("content-type", "application/octet-stream"), ("c11n-to", "QUJD, QUJD")],
                "x".into(),
            ),
            500,
            "Illegal base64 character 20".to_owned(),
        ),
    ];
    for ((method, path, headers, body), status, says) in cases {
        let answer = client.request(method, &path, &headers, body.clone()).await;
        let context = format!("{method} {path} {body}: {}", answer.text());
        assert_eq!(answer.status, status, "{context}");
        assert!(answer.text().contains(&says), "{context}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_monitors_and_old_clients_ask() {
    let net = Net::new(&["a"]);
    let _nodes = net.start().await;
    let a = net.node("a");
    for client in [a.client(), a.peer_client(a)] {
        let up = client.get("/upcheck").await;
        assert_eq!((up.status, up.text(), up.header("content-type")), (200, "I'm up!", "text/plain"));
        assert_eq!((client.get("/").await.status, client.get("/").await.body.len()), (200, 0));
        assert_eq!(client.get("/version").await.text(), env!("CARGO_PKG_VERSION"));
        assert_eq!(client.get("/version/distribution/").await.text(), env!("CARGO_PKG_VERSION"));
        assert_eq!(client.get("/version/api").await.text(), r#"["1.0","2.0","4.0","5.0"]"#);
        let head = client.request("HEAD", "/upcheck", &[], "").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        let options = client.request("OPTIONS", "/upcheck", &[], "").await;
        assert_eq!((options.status, options.header("allow")), (200, "HEAD,GET,OPTIONS"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn to_names_the_key_that_reads() {
    let net = Net::new(&["a", "b"]);
    let _nodes = net.start().await;
    let (a, b) = (net.node("a"), net.node("b"));
    let hash = a.client().send(b"hello", &[&b.public_key]).await;
    let read = async |to: &str| {
        let to = to.replace('+', "%2B");
        let answer = a.client().get(&format!("/transaction/{}?to={to}", segment(&hash))).await;
        (answer.status, answer.text().to_owned())
    };
    assert_eq!(read(&a.public_key).await.0, 200);
    let not_ours = format!("Public key {} not found when searching for private key", b.public_key);
    assert_eq!(read(&b.public_key).await, (404, not_ours));
    let stranger = tessera_enclave::base64::encode(&[9; 32]);
    assert_eq!(read(&stranger).await, (500, "recipient not found in listed keys".to_owned()));
}
