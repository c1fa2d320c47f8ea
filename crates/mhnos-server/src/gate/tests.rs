use proptest::prelude::*;

use super::*;

/// A gate, and the folder of its decisions.
fn gate() -> (tempfile::TempDir, Gate) {
    let folder = tempfile::tempdir().unwrap();
    let trust = Trust::open([].into(), false, folder.path()).unwrap();
    let gate = Gate::new(vec!["box.test:443".into()], 18790, "a".repeat(64), trust.into());
    (folder, gate)
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn host_status(host: &str) -> Option<StatusCode> {
    gate()
        .1
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
fn in_a_container_the_port_of_a_host_is_any_and_its_name_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let trust = Trust::open([].into(), false, folder.path()).unwrap();
    let gate = Gate::new(vec!["loopback".into()], 18790, "a".repeat(64), trust.into());
    let accepted = |host| gate.check_host(&Uri::from_static("/"), &headers(&[("host", host)])).is_ok();
    assert!(
        ["localhost:18790", "localhost:9", "127.0.0.1:18791", "[::1]:1", "LOCALHOST"]
            .map(accepted)
            .iter()
            .all(|it| *it)
    );
    let others =
        ["evil.test:18790", "0.0.0.0:18790", "172.17.0.1:18790", "localhost.evil.test:9", "localhost:0", ""];
    assert!(others.map(accepted).iter().all(|it| !*it));
}

#[test]
fn no_host_two_hosts_and_a_host_in_the_request_line_are_refused() {
    let (_folder, gate) = gate();
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
fn without_an_origin_only_the_token_counts() {
    let (_folder, gate) = gate();
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
    let (_folder, gate) = gate();
    let token = format!("Bearer {}", "a".repeat(64));
    let page = gate.identify(&headers(&[("origin", "http://evil.test"), ("authorization", &token)])).unwrap();
    assert_eq!(page, Principal::Page(Origin::from_header("http://evil.test").unwrap()));
    for origin in ["null", "", "nonsense"] {
        let refusal = gate.identify(&headers(&[("origin", origin), ("authorization", &token)])).unwrap_err();
        assert_eq!(refusal.status, StatusCode::FORBIDDEN);
    }
    assert!(gate.identify(&headers(&[("origin", "http://a.test"), ("origin", "http://b.test")])).is_err());
}

#[test]
fn a_page_of_our_own_needs_a_ticket_and_no_other_page_can_use_it() {
    let (_folder, gate) = gate();
    let identify = |origin: &str, offers: &str| {
        gate.identify(&headers(&[("origin", origin), ("sec-websocket-protocol", offers)]))
    };
    for own in ["http://localhost:18790", "http://127.0.0.1:18790", "http://[::1]:18790"] {
        assert_eq!(identify(own, "mhnos.v2").unwrap_err().status, StatusCode::FORBIDDEN, "{own}");
        let ticket = gate.trust.tickets.issue(None, std::time::Duration::from_secs(60));
        let offers = format!("mhnos.v2, mhnos.ticket.{ticket}");
        assert_eq!(identify(own, &offers), Ok(Principal::Control), "{own}");
        assert_eq!(identify(own, &offers).unwrap_err().status, StatusCode::FORBIDDEN, "{own} again");
        let ticket = gate.trust.tickets.issue(None, std::time::Duration::from_secs(60));
        let offers = format!("mhnos.v2, mhnos.ticket.{ticket}");
        assert!(identify("http://localhost:8000", &offers).is_err(), "stolen");
    }
    // Ours is the scheme we serve, too.
    let other = identify("https://localhost:18790", "mhnos.v2");
    assert!(matches!(other, Ok(Principal::Page(_))));
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
