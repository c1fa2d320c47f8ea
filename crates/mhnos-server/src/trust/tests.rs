use proptest::prelude::*;

use super::*;

fn trust(settled: &[&str], allow_loopback: bool) -> (tempfile::TempDir, Arc<Trust>) {
    let folder = tempfile::tempdir().unwrap();
    let settled = settled.iter().map(|origin| origin_of(origin)).collect();
    let trust = Trust::open(settled, allow_loopback, folder.path()).unwrap();
    (folder, Arc::new(trust))
}

fn origin_of(text: &str) -> Origin {
    Origin::from_header(text).unwrap()
}

const ALWAYS: Decision = Decision::Allow { access: Access::Full, once: false };

fn states(trust: &Trust) -> Vec<(String, OriginState)> {
    trust.known().into_iter().map(|known| (known.origin, known.state)).collect()
}

#[test]
fn an_origin_is_looked_up_whole() {
    let (_folder, trust) = trust(&["http://localhost:8000"], false);
    let allowed = |origin| trust.standing(&origin_of(origin)) == Standing::Allowed(Access::Full);
    assert!(allowed("http://localhost:8000"));
    for other in
        ["https://localhost:8000", "http://localhost:8001", "http://localhost", "http://127.0.0.1:8000"]
    {
        assert!(!allowed(other), "{other}");
    }
    trust.decide(&origin_of("http://localhost:8001"), ALWAYS).unwrap();
    assert!(allowed("http://localhost:8001") && !allowed("http://127.0.0.1:8001"));
}

#[test]
fn loopback_means_every_page_of_this_machine_and_no_other() {
    let (_folder, trust) = trust(&[], true);
    let allowed = |origin| trust.standing(&origin_of(origin)) == Standing::Allowed(Access::Full);
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
fn who_waits_is_known_for_as_long_as_it_waits_and_asked_about_once() {
    let (_folder, trust) = trust(&["http://a"], false);
    let mut events = trust.subscribe();
    let origin = origin_of("http://b");
    let (first, mut second) = (trust.enter(&origin).unwrap(), trust.enter(&origin).unwrap());
    drop(first);
    let a = ("http://a".to_owned(), OriginState::AllowedBySettings);
    assert_eq!(states(&trust), [a.clone(), ("http://b".to_owned(), OriginState::Waiting)]);
    trust.decide(&origin, ALWAYS).unwrap();
    second.admitted();
    assert_eq!(states(&trust)[1].1, OriginState::Allowed);
    drop(second);
    trust.decide(&origin, Decision::Revoke).unwrap();
    assert_eq!(states(&trust), [a]);
    let asked = std::iter::from_fn(|| events.try_recv().ok())
        .filter(|event| matches!(event, Event::OriginAsked { .. }))
        .count();
    assert_eq!(asked, 1);
}

#[test]
fn a_page_that_comes_and_goes_is_not_asked_about_each_time() {
    let (_folder, trust) = trust(&[], false);
    let mut events = trust.subscribe();
    for _ in 0..100 {
        drop(trust.enter(&origin_of("http://b")).unwrap());
    }
    let asked = std::iter::from_fn(|| events.try_recv().ok())
        .filter(|event| matches!(event, Event::OriginAsked { .. }))
        .count();
    assert_eq!(asked, 1);
}

#[test]
fn connections_that_wait_and_pages_that_wait_are_bounded() {
    let (_folder, trust) = trust(&["http://known"], false);
    let mut held: Vec<_> = (0..limits::WAITING_CONNECTIONS_PER_ORIGIN)
        .map(|_| trust.enter(&origin_of("http://first")).unwrap())
        .collect();
    assert_eq!(trust.enter(&origin_of("http://first")).err().unwrap().status, StatusCode::TOO_MANY_REQUESTS);
    for number in 1..limits::WAITING_ORIGINS {
        held.push(trust.enter(&origin_of(&format!("http://localhost:{number}"))).unwrap());
    }
    assert!(trust.enter(&origin_of("http://one-more")).is_err());
    assert!(trust.enter(&origin_of("http://known")).is_ok(), "who is allowed is not held up by who waits");
    held.pop();
    assert!(trust.enter(&origin_of("http://one-more")).is_ok());
    let known: Vec<_> = (0..limits::CONNECTIONS_PER_ORIGIN)
        .map(|_| trust.enter(&origin_of("http://known")).unwrap())
        .collect();
    assert!(trust.enter(&origin_of("http://known")).is_err());
    drop(known);
    assert!(trust.enter(&origin_of("http://known")).is_ok());
}

#[test]
fn once_ends_when_the_page_stays_away_and_with_the_runtime() {
    let (folder, trust) = trust(&[], false);
    let origin = origin_of("http://b");
    let connection = trust.enter(&origin).unwrap();
    trust.decide(&origin, Decision::Allow { access: Access::Files, once: true }).unwrap();
    assert_eq!(trust.standing(&origin), Standing::Allowed(Access::Files));
    drop(connection);
    assert_eq!(trust.standing(&origin), Standing::Allowed(Access::Files), "it may load anew");
    trust.pages().once.get_mut(&origin).unwrap().away = Some(Instant::now() - limits::ONCE_TIME);
    assert_eq!(trust.standing(&origin), Standing::Unknown);
    assert_eq!(states(&trust), []);
    trust.decide(&origin, Decision::Allow { access: Access::Full, once: true }).unwrap();
    drop(trust);
    let trust = Trust::open([].into(), false, folder.path()).unwrap();
    assert_eq!(trust.standing(&origin), Standing::Unknown);
}

#[test]
fn a_denial_ends_and_each_further_one_is_longer() {
    let (folder, trust) = trust(&[], false);
    let origin = origin_of("http://b");
    let until = |trust: &Trust| trust.known()[0].until.unwrap() - now();
    trust.decide(&origin, Decision::Deny).unwrap();
    assert_eq!(trust.standing(&origin), Standing::Denied);
    let first = until(&trust);
    drop(trust);
    let trust = Arc::new(Trust::open([].into(), false, folder.path()).unwrap());
    assert_eq!(trust.standing(&origin), Standing::Denied, "also after a restart");
    trust.pages().denials.get_mut(&origin).unwrap().until = now();
    assert_eq!(trust.standing(&origin), Standing::Unknown);
    trust.decide(&origin, Decision::Deny).unwrap();
    assert!(until(&trust) > first + first / 2);
    assert_eq!(denial_time(u32::MAX), limits::DENIAL_TIME_LONGEST);
    trust.decide(&origin, ALWAYS).unwrap();
    assert_eq!(trust.standing(&origin), Standing::Allowed(Access::Full), "a person may change their mind");
}

#[test]
fn what_the_settings_allow_is_not_revoked_behind_their_back() {
    let (_folder, trust) = trust(&["http://a"], false);
    for decision in [Decision::Deny, Decision::Revoke] {
        assert!(matches!(trust.decide(&origin_of("http://a"), decision), Err(DecideError::Settled(_))));
    }
    assert_eq!(trust.standing(&origin_of("http://a")), Standing::Allowed(Access::Full));
}

#[test]
fn programs_in_a_row_are_bounded_per_page() {
    let (_folder, trust) = trust(&[], false);
    let (one, other) = (Principal::Page(origin_of("http://a")), Principal::Page(origin_of("http://b")));
    let started = (0..limits::SPAWNS_IN_A_ROW * 2).filter(|_| trust.may_spawn_now(&one)).count();
    assert!((limits::SPAWNS_IN_A_ROW as usize..limits::SPAWNS_IN_A_ROW as usize + 8).contains(&started));
    assert!(trust.may_spawn_now(&other));
    assert!((0..limits::SPAWNS_IN_A_ROW * 2).all(|_| trust.may_spawn_now(&Principal::Control)));
}

#[test]
fn a_file_that_is_no_database_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trust.sqlite");
    std::fs::write(&path, "not a database, but somebody's text".repeat(100)).unwrap();
    let error = Trust::open([].into(), false, folder.path()).err().unwrap().to_string();
    assert!(error.contains("trust.sqlite") && error.contains("move it away"), "{error}");
    assert!(std::fs::read_to_string(path).unwrap().starts_with("not a database"));
}

/// What a person or a page does, in the model of the property below.
#[derive(Clone, Debug)]
enum Step {
    Decide(usize, Decision),
    Enter(usize),
    Leave(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let access = prop_oneof![Just(Access::Full), Just(Access::Files)];
    let decision = prop_oneof![
        (access, any::<bool>()).prop_map(|(access, once)| Decision::Allow { access, once }),
        Just(Decision::Deny),
        Just(Decision::Revoke),
    ];
    prop_oneof![
        3 => (0..PAGES.len(), decision).prop_map(|(page, decision)| Step::Decide(page, decision)),
        3 => (0..PAGES.len()).prop_map(Step::Enter),
        2 => (0..PAGES.len()).prop_map(Step::Leave),
        1 => Just(Step::Restart),
    ]
}

const PAGES: [&str; 4] =
    ["http://localhost:1", "http://127.0.0.1:1", "https://localhost:1", "http://settled"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens in whatever order, a page may exactly what was last decided about it.
    #[test]
    fn a_page_may_what_was_last_decided_and_nothing_else(steps in proptest::collection::vec(step(), 1..24)) {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            Arc::new(Trust::open([origin_of("http://settled")].into(), false, folder.path()).unwrap())
        };
        let mut trust = open();
        let mut held: Vec<(usize, Entered)> = Vec::new();
        let mut model: [(Standing, bool); 4] = [(Standing::Unknown, false); 4];
        model[3].0 = Standing::Allowed(Access::Full);
        for step in steps {
            match step {
                Step::Decide(page, decision) => {
                    let decided = trust.decide(&origin_of(PAGES[page]), decision);
                    if page == 3 {
                        prop_assert_eq!(decided.is_ok(), matches!(decision, Decision::Allow { .. }));
                        continue;
                    }
                    prop_assert!(decided.is_ok());
                    model[page] = match decision {
                        Decision::Allow { access, once } => (Standing::Allowed(access), once),
                        Decision::Deny => (Standing::Denied, false),
                        Decision::Revoke => (Standing::Unknown, false),
                    };
                }
                Step::Enter(page) => held.extend(trust.enter(&origin_of(PAGES[page])).map(|entered| (page, entered))),
                Step::Leave(page) => held.retain(|(other, _)| *other != page),
                Step::Restart => {
                    held.clear();
                    drop(trust);
                    trust = open();
                    for (standing, once) in &mut model {
                        if std::mem::take(once) {
                            *standing = Standing::Unknown;
                        }
                    }
                }
            }
            for (page, (standing, _)) in PAGES.iter().zip(&model) {
                prop_assert_eq!(trust.standing(&origin_of(page)), *standing, "{}", page);
                let access = match standing {
                    Standing::Allowed(access) => Some(*access),
                    _ => None,
                };
                prop_assert_eq!(trust.access(&Principal::Page(origin_of(page))), access);
            }
            let connections: u32 = trust.known().iter().map(|known| known.connections).sum();
            prop_assert_eq!(connections as usize, held.len());
        }
        drop(held);
        prop_assert!(audit::verify(folder.path()).unwrap().faults.is_empty());
    }
}

#[tokio::test]
async fn a_revocation_waits_for_what_is_being_changed_and_no_leave_is_given_after_it() {
    use futures_util::FutureExt;

    let (_folder, trust) = trust(&[], false);
    let origin = origin_of("http://localhost:8000");
    let page = Principal::Page(origin.clone());
    assert!(trust.permit(&page, Access::Files).await.is_none(), "nobody has said anything");
    trust.decide(&origin, ALWAYS).unwrap();
    let changing = trust.permit(&page, Access::Full).await.unwrap();
    trust.decide(&origin, Decision::Revoke).unwrap();
    let mut quiet = Box::pin(trust.until_quiet());
    assert!(quiet.as_mut().now_or_never().is_none(), "something is being changed");
    drop(changing);
    quiet.await;
    assert!(trust.permit(&page, Access::Files).await.is_none());
    trust.decide(&origin, Decision::Allow { access: Access::Files, once: false }).unwrap();
    assert!(trust.permit(&page, Access::Files).await.is_some());
    assert!(trust.permit(&page, Access::Full).await.is_none(), "files are not programs");
}
