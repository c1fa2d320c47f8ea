//! `GET /client.js`: whom the client library is given to.

use mhnos_tests::command::run;
use mhnos_tests::http::{Answer, exchange};
use mhnos_tests::{ORIGIN, Runtime, STRANGER, Setup, within};

async fn get(port: u16, headers: &[&str]) -> Answer {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request =
        format!("GET /client.js HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n{headers}\r\n");
    within("the answer", exchange(port, request)).await
}

fn is_the_script(answer: &Answer) -> bool {
    answer.status == 200 && answer.body.contains("syncOpfs")
}

#[tokio::test]
async fn an_allowed_page_is_given_the_script_and_named_in_the_answer() {
    let runtime = Setup::default().allow_origin().start();
    let answer = get(runtime.port(), &[&format!("Origin: {ORIGIN}")]).await;
    assert!(is_the_script(&answer), "{}", answer.head);
    assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_eq!(answer.header("vary"), Some("Origin"));
    assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
}

#[tokio::test]
async fn without_an_origin_no_page_of_another_origin_may_read_it() {
    let runtime = Runtime::start();
    let answer = get(runtime.port(), &[]).await;
    assert!(is_the_script(&answer), "{}", answer.head);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
}

#[tokio::test]
async fn a_page_nobody_has_decided_about_is_kept_waiting_until_it_is_allowed() {
    let runtime = Runtime::start();
    let port = runtime.port();
    let header = format!("Origin: {STRANGER}");
    let asked = tokio::spawn(async move { get(port, &[&header]).await });
    let pending = async || run(&runtime, &["origins", "pending", "--json"]).await.json().to_string();
    while !pending().await.contains(STRANGER) {
        assert!(!asked.is_finished(), "it is not answered before somebody decides");
    }
    run(&runtime, &["origins", "allow", STRANGER]).await.done();
    let answer = asked.await.unwrap();
    assert!(is_the_script(&answer), "{}", answer.head);
    assert_eq!(answer.header("access-control-allow-origin"), Some(STRANGER));
}

#[tokio::test]
async fn a_page_that_is_denied_is_refused_at_once_and_told_why() {
    let runtime = Runtime::start();
    run(&runtime, &["origins", "deny", STRANGER]).await.done();
    let answer = get(runtime.port(), &[&format!("Origin: {STRANGER}")]).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None));
    assert!(answer.body.contains(STRANGER) && !answer.body.contains("syncOpfs"), "{}", answer.body);
}

#[tokio::test]
async fn an_opaque_origin_or_a_malformed_one_is_refused() {
    let runtime = Setup::default().allow_origin().start();
    let two = format!("{ORIGIN} {ORIGIN}");
    for origin in ["null", "", two.as_str(), "file://"] {
        let answer = get(runtime.port(), &[&format!("Origin: {origin}")]).await;
        assert!(!is_the_script(&answer), "{origin:?}: {}", answer.head);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin:?}");
    }
}
