//! What the app's own pages look like: in a light and in a dark session, at the usual size and at the smallest. The pictures are to be looked
//! at; what a program can see of them is tested.

use crate::session::Session;
use crate::webdriver::Browser;

/// Width and height of the window, and what its pictures are called behind the page's name.
const SIZES: [(u32, u32, &str); 2] = [(760, 480, "-small"), (1100, 720, "")];

/// Pictures of a page in the session's looks, at each size. Nothing of it may be cut off at the side.
pub(crate) async fn take(session: &Session, browser: &Browser, page: &str) {
    let window = session.windows("^MHNOS Runtime$").remove(0);
    let (looks, colour) = if session.is_dark() { ("-dark", "< 60") } else { ("", "> 200") };
    let script = format!(
        "const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number);
         return (red + green + blue) / 3 {colour};"
    );
    browser.until("the page follows the session's looks", &script).await;
    for (width, height, size) in SIZES {
        session.resize(&window, width, height);
        browser
            .until("it has its size", &format!("return innerWidth === {width} && innerHeight === {height}"))
            .await;
        let cut_off = "
            const root = document.scrollingElement;
            return [root, ...document.querySelectorAll('main, main *')]
                .filter((it) => it.scrollWidth > it.clientWidth + 1 && getComputedStyle(it).overflowX !== 'visible'
                    && !it.matches('.cut, pre, input, table, .sr-only') && getComputedStyle(it).display !== 'inline')
                .map((it) => it.outerHTML.slice(0, 200));";
        assert_eq!(browser.script(cut_off).await, serde_json::json!([]), "{page} at {width}");
        browser.picture(&format!("desktop-{page}{looks}{size}.png")).await;
    }
}

async fn all(session: Session) {
    let browser = Browser::start(&session).await;
    browser.until_said("Where do your files live?").await;
    browser.click("Skip").await;
    browser.until_said("nonexistent/docker.sock does not answer").await;
    take(&session, &browser, "first-run").await;
    browser.click("Skip").await;
    browser.click("Skip").await;
    browser.until_said("Running natively").await;
    browser.click("Settings").await;
    browser.until_said("Pages that are always allowed").await;
    take(&session, &browser, "settings").await;
    browser.click("Docker").await;
    browser.until_said("No container engine").await;
    take(&session, &browser, "no-docker").await;
    browser.click("Doctor").await;
    browser.until_said("this desktop shows no tray icons").await;
    take(&session, &browser, "doctor").await;
    browser.end().await;
}

#[tokio::test]
async fn the_pages_are_light_in_a_light_session_and_fit_into_the_smallest_window() {
    all(Session::new()).await;
}

#[tokio::test]
async fn the_pages_are_dark_in_a_dark_session_and_fit_into_the_smallest_window() {
    let session = Session::new();
    session.darken();
    all(session).await;
}
