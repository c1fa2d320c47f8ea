//! Whatever stands in `Host` and `Origin`, only our own names pass, and an origin has one form only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mhnos_fuzz::origin::{Origin, is_own_host};

fuzz_target!(|input: (&str, &str)| {
    let (host, origin) = input;
    if is_own_host(host, 18790) {
        let known = ["localhost:18790", "127.0.0.1:18790", "[::1]:18790"];
        assert!(known.contains(&host.to_ascii_lowercase().as_str()), "{host}");
    }
    if let Some(parsed) = Origin::from_header(origin) {
        assert_eq!(parsed.to_string(), origin);
    }
    if let Some(parsed) = Origin::from_setting(origin) {
        assert_eq!(Origin::from_header(&parsed.to_string()), Some(parsed));
    }
});
