//! The table of rules. Pure.
//!
//! A rule is a pattern over bytes; where it takes a key (group `k`) and a value (group `v`), both must be what they seem.
//! Repetitions have no upper bound: each step to a bound is a state of the automaton, and bounds took two thirds of its
//! memory. What ends them is the line, the quote or the space. The examples are of no use to anybody: a mark (¤), which tests
//! take out, keeps scanners of Git hosts from taking them for real.

use crate::rule::Value::{Any, Assigned, BasicAuth, Exact, YamlLine};
use crate::rule::{Rule, rule};

/// A key that may be of a credential.
macro_rules! key {
    () => {
        r"(?P<k>[\w./-]*(?:pass|pwd|secret|token|key|credential)[\w./-]*)"
    };
}

/// All rules.
pub const RULES: [Rule; 47] = [
    // Named values, by the form in which they are written.
    rule(
        "json-field",
        Exact,
        concat!(r#"(?i)\\*["']"#, key!(), r#"\\*["']\s*:\s*(?:\[\s*)?\\*["'](?P<v>[^"'\\\n]+)"#),
        r#"{"user": "app", "password": "hunter2"}"#,
        r#"{"passwordSecretRef": "db-app", "password": "${DB_PASSWORD}", "token": {"type": "string"}}"#,
    ),
    rule(
        "yaml-field",
        YamlLine,
        concat!(r#"(?im)(?:^[ \t]*(?:- +)*|[{,][ \t]*)["']?"#, key!(), r#"["']?[ \t]*:[ \t]+(?P<v>[^\n]+)"#),
        "db:\n  password: hunter2\n",
        "auth:\n  secretName: db-app\n  password: {{ .Values.password }}\n  automountServiceAccountToken: false\n",
    ),
    rule(
        "yaml-block",
        Exact,
        concat!(r"(?im)^[ \t]*(?:- +)?", key!(), r"[ \t]*:[ \t]+[|>][+-]?[ \t]*\n[ \t]+(?P<v>\S+)[ \t]*$"),
        "password: |-\n  hunter2\n",
        "passwordHelp: |-\n  hunter2\n",
    ),
    rule(
        "assignment",
        Assigned,
        concat!(r#"(?i)"#, key!(), r#"["'\]]*[ \t]*=[ \t]*(?P<v>[^\s=~][^\r\n]*)"#),
        "spring.datasource.password=hunter2\n",
        "spring.datasource.password=${DB_PASSWORD}\nPASSWORD_FILE=/run/secrets/db\n",
    ),
    rule(
        "property",
        Exact,
        concat!(r"(?im)^[ \t]*", key!(), r"[ \t]*:(?P<v>[^\s:/][^\s]*)[ \t]*$"),
        "db.password:hunter2\n",
        "db.password:${DB_PASSWORD}\ndb.passwordFile:x\n",
    ),
    rule(
        "xml-element",
        Exact,
        concat!(r"(?i)<(?:\w+:)?", key!(), r"(?:\s[^<>]*)?>(?P<v>[^<\n]+)</"),
        "<db><password>hunter2</password></db>",
        "<db><password>${DB_PASSWORD}</password><passwordPolicy>strict</passwordPolicy></db>",
    ),
    rule(
        "xml-property",
        Exact,
        concat!(r#"(?i)<name>\s*"#, key!(), r#"\s*</name>\s*<value>\s*(?P<v>[^<\n]+)</value>"#),
        "<name>javax.jdo.option.ConnectionPassword</name>\n<value>hunter2</value>",
        "<name>dfs.block.access.token.enable</name>\n<value>true</value>",
    ),
    rule(
        "xml-attribute",
        Exact,
        concat!(r#"(?i)name\s*=\s*["']"#, key!(), r#"["']\s+value\s*=\s*["'](?P<v>[^"'\n]+)["']"#),
        r#"<property name="password" value="hunter2"/>"#,
        r#"<property name="passwordEncoder" value="bcrypt"/>"#,
    ),
    rule(
        "environment-entry",
        YamlLine,
        concat!(
            r#"(?i)\bname\\*["']?\s*:\s*\\*["']?"#,
            key!(),
            r#"\\*["']?[ \t]*,?\s*\\*["']?value\\*["']?[ \t]*:[ \t]*(?P<v>[^\n]+)"#
        ),
        "- name: DB_PASSWORD\n  value: hunter2\n",
        "- name: DB_PASSWORD\n  valueFrom:\n    secretKeyRef: {name: db, key: password}\n",
    ),
    rule(
        "command-line-option",
        Exact,
        concat!(
            r#"(?im)(?:^|[\s"'\[,])--?"#,
            key!(),
            r#"["']?(?:[ \t]+|,[ \t]*|\n[ \t]*-[ \t]+)["']?(?P<v>[^\s"',\[\]-][^\s"',\]]*)"#
        ),
        "exec app --db-password hunter2 --port 80",
        "exec app --password-file /run/secrets/db --token-ttl 1h --password $PW",
    ),
    // Commands and files that know a password by its place.
    rule(
        "curl-user",
        Exact,
        r#"(?i)\b(?:curl|wget|http)\b[^\n|;]*?\s(?:-u|--user|--proxy-user)[ =]?\s*["']?[^\s:"'$]+:(?P<v>[^\s"']+)"#,
        "curl -s -u admin:hunter2 http://db:9200/_cluster/health",
        "curl -s -u admin:$PASSWORD http://db:9200/_cluster/health",
    ),
    rule(
        "mysql-password",
        Exact,
        r#"(?i)\b(?:mysql|mariadb|mysqldump|mysqladmin)\b[^\n|;]*?\s-p["']?(?P<v>[^\s"']+)"#,
        "mysql -h db -u root -phunter2 app",
        "mysql -h db -u root -p$MYSQL_ROOT_PASSWORD app",
    ),
    rule(
        "short-option",
        Exact,
        r#"(?i)\b(?:sshpass\s+-p|redis-cli\b[^\n|;]*?\s-a|vault\s+login|vncpasswd)\s*["']?(?P<v>[^\s"'-][^\s"']*)"#,
        "redis-cli -h cache -a hunter2 ping",
        "redis-cli -h cache -a $REDIS_PASSWORD ping",
    ),
    rule(
        "directive",
        Exact,
        r#"(?im)^[ \t]*(?:requirepass|masterauth|auth_pass|sentinel\s+auth-pass\s+\S+|user\s+\S+\s+insecure-password|bindpw|rootpw|admin_password)[ \t]+["']?(?P<v>[^\s"']+)"#,
        "maxmemory 1gb\nrequirepass hunter2\n",
        "maxmemory 1gb\n# requirepass hunter2 would be wrong\nrequirepass ${REDIS_PASSWORD}\n",
    ),
    rule(
        "netrc",
        Exact,
        r"(?i)\bmachine\s+\S+\s+login\s+\S+\s+password\s+(?P<v>\S+)",
        "machine git.example.com login ci password hunter2",
        "machine git.example.com login ci password $GIT_PASSWORD",
    ),
    rule(
        "pgpass",
        Exact,
        r"(?m)^[\w.*-]+:(?:\d{2,5}|\*):[\w*-]+:[\w*-]+:(?P<v>[^\s:]+)$",
        "db.example.com:5432:app:app:hunter2\n",
        "db.example.com:5432:app:app:$PASSWORD\n",
    ),
    rule(
        "sql-password",
        Exact,
        r"(?i)\b(?:(?:create|alter)\s+(?:user|role)\b[^;\n]*\b(?:password|identified\s+by))\s+'(?P<v>[^'\n]+)'",
        "CREATE USER app WITH LOGIN PASSWORD 'hunter2';",
        "CREATE USER app WITH LOGIN PASSWORD '${PASSWORD}';",
    ),
    // URLs and connection strings.
    rule(
        "url-password",
        Exact,
        r#"(?i)\b[a-z][a-z0-9+.-]{1,30}://[^\s/:@"'<>\\]*:(?P<v>[^\s/@"'<>\\]+)@[\w\[.$-]"#,
        "DATABASE_URL: postgres://app:hunter2@db:5432/app",
        "DATABASE_URL: postgres://app:$(DB_PASSWORD)@db:5432/app and https://example.com:8443/@scope",
    ),
    rule(
        "oracle-url",
        Exact,
        r#"(?i)\bjdbc:oracle:(?:thin|oci):[^\s/@"']+/(?P<v>[^\s@"']+)@"#,
        "jdbc:oracle:thin:app/hunter2@db:1521/x",
        "jdbc:oracle:thin:@db:1521/x",
    ),
    rule(
        "azure-storage-key",
        Any,
        r"\bAccountKey=[A-Za-z0-9+/]{60,}={0,2}",
        "DefaultEndpointsProtocol=https;AccountName=a;Account¤Key=AAAAaaaa0000AAAAaaaa0000AAAAaaaa0000AAAAaaaa0000AAAAaaaa0000AAAAaaaa0000AAAAaaaa0000AA==;",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=${KEY};",
    ),
    rule(
        "azure-signature",
        Any,
        r"[?&;]sig=[A-Za-z0-9%+/]{40,}",
        "https://a.blob.core.windows.net/c?sv=2020-01-01&si¤g=AAAAaaaa0000AAAAaaaa0000AAAAaaaa0000AAAAaaa%3D",
        "https://a.blob.core.windows.net/c?sv=2020-01-01&sig=short",
    ),
    // Keys and tokens that show by their own form.
    rule(
        "private-key",
        Any,
        r"-----BEGIN (?:RSA |EC |DSA |OPENSSH |ED25519 |PGP )?PRIVATE KEY(?: BLOCK)?-----(?:\\[nr]|\s){1,16}(?:Version:[^\n]*\s+)?[A-Za-z0-9+/=]{16}",
        "-----BEGIN EC PRIV¤ATE KEY-----\nMHcCAQEEIFakeFakeFakeFakeFakeFakeFakeFakeFake\n",
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFakeFake\n-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIFakeFakeFakeFake",
    ),
    rule(
        "putty-key",
        Any,
        r"PuTTY-User-Key-File-\d: \S+\s+Encryption: none",
        "PuTTY-User-Key¤-File-3: ssh-ed25519\nEncryption: none\n",
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: aes256-cbc\n",
    ),
    rule(
        "age-key",
        Any,
        r"\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b",
        "AGE-SECRET¤-KEY-1AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "age1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ),
    rule(
        "vault-token",
        Any,
        r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}\b",
        "hv¤s.FakeFakeFakeFakeFakeFake",
        "hvs.example and hvs.com",
    ),
    rule(
        "vault-token-old",
        Any,
        r#"(?:^|[\s"'=:])[sb]\.[A-Za-z0-9]{24}\b"#,
        "token: s¤.FakeFakeFakeFakeFakeFake",
        "s.example.com",
    ),
    rule("aws-access-key", Any, r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b", "AK¤IAFAKEFAKEFAKEFAKE", "AKIAKE"),
    rule(
        "google-api-key",
        Any,
        r"\bAIza[0-9A-Za-z_-]{35}\b",
        "AI¤zaFakeFakeFakeFakeFakeFakeFakeFakeFa1",
        "AIzaFake",
    ),
    rule(
        "google-client-secret",
        Any,
        r"\bGOCSPX-[A-Za-z0-9_-]{20,40}\b",
        "GOC¤SPX-FakeFakeFakeFakeFakeFake1234",
        "GOCSPX-x",
    ),
    rule(
        "azure-client-secret",
        Any,
        r"\b[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,34}",
        "Abc8¤Q~FakeFakeFakeFakeFakeFakeFakeFake",
        "a8Q~b",
    ),
    rule(
        "jwt",
        Any,
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
        "ey¤JhbGciOiJub25lIn0.eyJzdWIiOiJmYWtlZmFrZSJ9.FakeFakeFakeFake",
        "eyJhbGciOiJub25lIn0",
    ),
    rule(
        "bootstrap-token",
        Any,
        r#"(?i)token["']?[ \t]*[:= ][ \t]*["']?[a-z0-9]{6}\.[a-z0-9]{16}(?:[^a-z0-9.]|$)"#,
        "kubeadm join --token fake00¤.0000fakefakefake",
        "token: fake00.io",
    ),
    rule(
        "github-token",
        Any,
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b",
        "gh¤p_FakeFakeFakeFakeFakeFakeFakeFakeFake",
        "ghp_Fake",
    ),
    rule(
        "gitlab-token",
        Any,
        r"\bgl(?:pat|dt|rt|cbt|ptt|ft|agent|soat)-[A-Za-z0-9_.-]{20,}\b",
        "gl¤pat-FakeFakeFakeFakeFake",
        "glpat-fake",
    ),
    rule(
        "slack-token",
        Any,
        r"\b(?:xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,})\b",
        "xo¤xb-000000000000-FakeFakeFake",
        "xoxb-fake",
    ),
    rule(
        "slack-webhook",
        Any,
        r"https://hooks\.slack\.com/(?:services|workflows)/T[A-Za-z0-9_]{6,20}/[AB][A-Za-z0-9_]{6,20}/[A-Za-z0-9_]{16,40}",
        "https://hooks.slack¤.com/services/T00000000/B00000000/FakeFakeFakeFakeFakeFake",
        "https://hooks.slack.com/services/",
    ),
    rule(
        "stripe-key",
        Any,
        r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}\b",
        "sk¤_live_FakeFakeFakeFakeFake",
        "sk_live_",
    ),
    rule(
        "npm-token",
        Any,
        r"\bnpm_[A-Za-z0-9]{36}\b|_authToken\s*=\s*[A-Za-z0-9-]{30,}",
        "np¤m_FakeFakeFakeFakeFakeFakeFakeFakeFake",
        "npm_config_cache",
    ),
    rule(
        "sendgrid-key",
        Any,
        r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b",
        "S¤G.FakeFakeFakeFakeFakeFa.FakeFakeFakeFakeFakeFakeFakeFakeFakeFakeFak",
        "SG.a.b",
    ),
    rule(
        "openai-key",
        Any,
        r"\bsk-(?:proj-|ant-|svcacct-)?[A-Za-z0-9_-]{32,}\b",
        "sk¤-proj-FakeFakeFakeFakeFakeFakeFakeFakeFake",
        "sk-fake",
    ),
    rule(
        "password-hash",
        Any,
        r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}|\$(?:apr1|1|5|6|y)\$(?:rounds=\d+\$)?[./A-Za-z0-9$]{1,40}\$[./A-Za-z0-9]{22,86}|\$argon2(?:id|i|d)\$v=\d+\$m=",
        "admin:$2¤y$10$FakeFakeFakeFakeFakeFakeFakeFakeFakeFakeFakeFakeFake1",
        "$2 and $10$ and rewrite ^/(.*)$ /$1",
    ),
    rule(
        "basic-auth",
        BasicAuth,
        r"(?i)\bbasic[ \t]+(?P<v>[A-Za-z0-9+/]{6,}={0,2})",
        "Authorization: Basic YWRtaW46aHVudGVyMg==",
        "auth-type: basic realm for all; Basic Authentication",
    ),
    rule(
        "bearer",
        Any,
        r#"(?i)\bauthorization["']?\s*[:=]\s*["']?bearer[ \t]+[A-Za-z0-9._~+/-]{20,}"#,
        "Authorization: Bearer Fake0Fake1Fake2Fake3Fake4",
        "Authorization: Bearer $TOKEN",
    ),
    rule(
        "docker-auth",
        BasicAuth,
        r#""_?auth\\*"\s*:\s*\\*"(?P<v>[A-Za-z0-9+/]{6,}={0,2})\\*""#,
        r#"{"auths": {"registry.example.com": {"auth": "YWRtaW46aHVudGVyMg=="}}}"#,
        r#"{"auth": "basicauth", "registry": "example.com"}"#,
    ),
    // Keys of Tessera and of ledgers.
    rule(
        "tessera-key",
        Any,
        r#"(?i)\\*"(?:privateKey|bytes)\\*"\s*:\s*\\*"[A-Za-z0-9+/]{43}=\\*""#,
        r#"{"keyData": [{"privateKey": "FakeFakeFakeFakeFakeFakeFakeFakeFakeFakeFak=", "publicKey": "x"}]}"#,
        r#"{"keyData": [{"privateKeyPath": "/keys/tm.key", "publicKey": "FakeFakeFakeFakeFakeFakeFakeFakeFakeFakeFak="}]}"#,
    ),
    rule(
        "ledger-key",
        Any,
        r#"(?i)(?:private[ _.-]?key|node[ _.-]?key|priv(?:ate)?key)(?:hex)?\\*["']?\s*[:= ]\s*\\*["']?(?:0x)?[0-9a-f]{64}(?:[^0-9a-f]|$)"#,
        "nodekey: 00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff",
        "nodekey: 00ff\nimage: x@sha256:00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff",
    ),
    rule(
        "mnemonic",
        Any,
        r#"(?i)mnemonic\w{0,10}\\*["']?\s*[:=]\s*\\*["']?(?:[a-z]{3,8} ){11,23}[a-z]{3,8}\b"#,
        "MNEMONIC=fake fake fake fake fake fake fake fake fake fake fake word",
        "mnemonic: a phrase of words",
    ),
];
