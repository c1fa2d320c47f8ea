use proptest::prelude::*;

use super::*;

fn gate(origins: &[&str], hosts: &[&str], allow_loopback: bool) -> Gate {
    Gate {
        port: 18790,
        allowed_hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        allow_loopback,
        token: "a".repeat(64),
        settled: origins.iter().map(|origin| Origin::from_setting(origin).unwrap()).collect(),
        allowed: watch::Sender::new(BTreeSet::new()),
        waiting: Mutex::default(),
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn host_status(host: &str) -> Option<StatusCode> {
    gate(&[], &["box.test:443"], false)
        .check_host(&Uri::from_static("/"), &headers(&[("host", host)]))
        .err()
        .map(|refusal| refusal.status)
}

#[test]
fn only_names_of_this_machine_with_our_port_are_hosts() {
    for host in ["localhost:18790", "LOCALHOST:18790", "127.0.0.1:18790", "[::1]:18790", "box.test:443"] {
        assert_eq!(host_status(host), None, "{host}");
    }
    for host in [
        "localhost",
        "localhost:80",
        "localhost:018790",
        "localhost:+18790",
        "127.0.0.1",
        "0.0.0.0:18790",
        "evil.test:18790",
        "localhost.evil.test:18790",
        "localhost:18790.evil.test",
        "127.0.0.2:18790",
        "[::]:18790",
        "::1:18790",
        "box.test",
        "user@localhost:18790",
        "localhost:18790/",
        " ",
        "",
    ] {
        assert_eq!(host_status(host), Some(StatusCode::FORBIDDEN), "{host}");
    }
}

#[test]
fn no_host_two_hosts_and_a_host_in_the_request_line_are_refused() {
    let gate = gate(&[], &[], false);
    let uri = Uri::from_static("/");
    assert!(gate.check_host(&uri, &headers(&[])).is_err());
    let good = ("host", "localhost:18790");
    assert!(gate.check_host(&uri, &headers(&[good, ("host", "evil.test:18790")])).is_err());
    assert!(gate.check_host(&uri, &headers(&[good, good])).is_err());
    assert!(gate.check_host(&Uri::from_static("http://evil.test:18790/"), &headers(&[good])).is_err());
    assert!(gate.check_host(&Uri::from_static("http://localhost:18790/"), &headers(&[good])).is_ok());
}

#[test]
fn origins_are_exact() {
    let header = |value| Origin::from_header(value).map(|origin| origin.to_string());
    for value in [
        "http://localhost:8000",
        "https://mhnos.example",
        "http://[::1]:3000",
        "chrome-extension://abcdef",
        "tauri://localhost",
    ] {
        assert_eq!(header(value).as_deref(), Some(value));
    }
    for value in [
        "null",
        "",
        "http://",
        "localhost:8000",
        "http://a/",
        "http://a/b",
        "http://a:80",
        "https://a:443",
        "HTTP://a",
        "http://A",
        "http://a:0",
        "http://a:99999",
        "http://a:+1",
        "http://u@a",
        "http://a b",
        "http://[::1",
        "http://[x]",
        "file://",
        "http://a,http://b",
        "http://a?b",
        "://a",
        "1http://a",
        "file://localhost",
    ] {
        assert_eq!(header(value), None, "{value}");
    }
    let setting = |text| Origin::from_setting(text).map(|origin| origin.to_string());
    assert_eq!(setting("HTTPS://MHNOS.Example:443/").as_deref(), Some("https://mhnos.example"));
}

#[test]
fn an_origin_is_looked_up_whole() {
    let gate = gate(&["http://localhost:8000"], &[], false);
    let allowed = |origin| gate.is_allowed(&Principal::Page(Origin::from_header(origin).unwrap()));
    assert!(allowed("http://localhost:8000"));
    for other in
        ["https://localhost:8000", "http://localhost:8001", "http://localhost", "http://127.0.0.1:8000"]
    {
        assert!(!allowed(other), "{other}");
    }
    let other = Origin::from_setting("http://localhost:8001").unwrap();
    gate.set_allowed(&other, true);
    assert!(allowed("http://localhost:8001"));
    gate.set_allowed(&other, false);
    assert!(!allowed("http://localhost:8001"));
}

#[test]
fn who_waits_is_known_for_as_long_as_it_waits() {
    let gate = gate(&["http://a"], &[], false);
    let origin = Origin::from_setting("http://b").unwrap();
    let (first, second) = (gate.note_waiting(&origin), gate.note_waiting(&origin));
    drop(first);
    let states: Vec<_> = gate.known().into_iter().map(|known| (known.origin, known.state)).collect();
    assert_eq!(
        states,
        [
            ("http://a".to_owned(), OriginState::AllowedBySettings),
            ("http://b".to_owned(), OriginState::Waiting)
        ]
    );
    gate.set_allowed(&origin, true);
    assert_eq!(gate.known()[1].state, OriginState::Allowed);
    drop(second);
    gate.set_allowed(&origin, false);
    assert_eq!(gate.known().len(), 1);
}

#[test]
fn loopback_means_every_page_of_this_machine_and_no_other() {
    let gate = gate(&[], &[], true);
    let allowed = |origin| gate.is_allowed(&Principal::Page(Origin::from_header(origin).unwrap()));
    for origin in ["http://localhost:1", "http://app.localhost", "https://127.3.2.1", "http://[::1]:9"] {
        assert!(allowed(origin), "{origin}");
    }
    for origin in [
        "http://localhost.evil.test",
        "http://127.0.0.1.evil.test",
        "http://128.0.0.1",
        "http://10.0.0.1",
        "http://[::2]",
    ] {
        assert!(!allowed(origin), "{origin}");
    }
}

#[test]
fn without_an_origin_only_the_token_counts() {
    let gate = gate(&["http://localhost:8000"], &[], false);
    let token = format!("Bearer {}", "a".repeat(64));
    assert_eq!(gate.identify(&headers(&[("authorization", &token)])), Ok(Principal::Control));
    for wrong in ["Bearer ", "Bearer b", "Basic aaaa", &"a".repeat(64), &format!("{token}a"), &token[..70]] {
        let refusal = gate.identify(&headers(&[("authorization", wrong)])).unwrap_err();
        assert_eq!(refusal.status, StatusCode::UNAUTHORIZED);
        assert!(!refusal.reason.contains("aaaa"));
    }
    assert!(gate.identify(&headers(&[("authorization", &token), ("authorization", &token)])).is_err());
}

#[test]
fn a_page_is_its_origin_whatever_else_it_shows() {
    let gate = gate(&[], &[], false);
    let token = format!("Bearer {}", "a".repeat(64));
    let page = gate.identify(&headers(&[("origin", "http://evil.test"), ("authorization", &token)])).unwrap();
    assert!(!gate.is_allowed(&page));
    for origin in ["null", "", "nonsense"] {
        let refusal = gate.identify(&headers(&[("origin", origin), ("authorization", &token)])).unwrap_err();
        assert_eq!(refusal.status, StatusCode::FORBIDDEN);
    }
    assert!(gate.identify(&headers(&[("origin", "http://a.test"), ("origin", "http://b.test")])).is_err());
}

#[test]
fn an_origin_touches_only_its_own() {
    let page = |origin| Principal::Page(Origin::from_setting(origin).unwrap());
    assert!(page("http://a").may_touch(&page("http://a")));
    assert!(!page("http://a").may_touch(&page("http://b")));
    assert!(!page("http://a").may_touch(&Principal::Control));
    assert!(Principal::Control.may_touch(&page("http://a")));
}

proptest! {
    #[test]
    fn what_is_accepted_is_canonical(text in "[a-zA-Z0-9:/.\\[\\]@ -]{0,30}|https?://[a-zA-Z0-9.-]{1,10}(:[0-9]{1,6})?/?") {
        if let Some(origin) = Origin::from_header(&text) {
            prop_assert_eq!(origin.to_string(), text.clone());
        }
        if let Some(origin) = Origin::from_setting(&text) {
            prop_assert_eq!(Origin::from_header(&origin.to_string()), Some(origin));
        }
    }

    #[test]
    fn no_host_but_ours_passes(host in "[a-z0-9:.\\[\\]]{0,24}|(localhost|127\\.0\\.0\\.1)[:.0-9a-z]{0,8}") {
        let passes = host_status(&host).is_none();
        let ours = ["localhost:18790", "127.0.0.1:18790", "[::1]:18790", "box.test:443"].contains(&host.as_str());
        prop_assert_eq!(passes, ours);
    }
}
