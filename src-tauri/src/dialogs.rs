//! Windows of the system's own look that ask a person. Only Rust opens them and only a person answers: no page can reach either.
//!
//! All of it happens on the main thread, where GTK lives; who asks waits elsewhere for the answer.

use std::time::Duration;

use gtk::glib;
use gtk::prelude::*;
use tauri::AppHandle;
use tokio::sync::oneshot;

/// What a person says about a page that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Not now, and do not ask again for a while.
    Deny,
    /// Until it is closed.
    Once,
    /// From now on.
    Always,
}

/// For so long after a window appeared nothing but `Deny` can be chosen: a click or key meant for something else must not allow.
const GRACE: Duration = Duration::from_millis(600);

/// Side of the picture in a window, in pixels.
const PICTURE: i32 = 48;

const ONCE: gtk::ResponseType = gtk::ResponseType::Other(1);
const ALWAYS: gtk::ResponseType = gtk::ResponseType::Other(2);

/// Asks whether a page may use the runtime. Closed without an answer when `until` ends first.
pub(crate) async fn ask_about_page(
    app: &AppHandle,
    origin: &str,
    workspace: &str,
    until: impl Future<Output = ()>,
) -> Option<Answer> {
    let heading = format!("Allow {origin}?");
    let detail = format!(
        "It wants to run programs, and to change files in {workspace}.\n\nAllow this only if you opened that page yourself and trust it. \
         What you decide can be taken back under Connections."
    );
    let buttons = [("_Deny", gtk::ResponseType::Reject), ("Allow _once", ONCE), ("_Always allow", ALWAYS)];
    match ask(app, gtk::MessageType::Question, heading, detail, buttons, until).await? {
        ONCE => Some(Answer::Once),
        ALWAYS => Some(Answer::Always),
        _ => Some(Answer::Deny),
    }
}

/// Asks whether to do something; the safe answer is the default.
pub(crate) async fn confirm(app: &AppHandle, heading: String, detail: String, action: &'static str) -> bool {
    let buttons = [("_Cancel", gtk::ResponseType::Reject), (action, gtk::ResponseType::Accept)];
    let answer = ask(app, gtk::MessageType::Question, heading, detail, buttons, std::future::pending()).await;
    answer == Some(gtk::ResponseType::Accept)
}

/// Says something.
pub(crate) async fn say(app: &AppHandle, heading: String, detail: String) {
    let button = [("_Close", gtk::ResponseType::Reject)];
    ask(app, gtk::MessageType::Warning, heading, detail, button, std::future::pending()).await;
}

async fn ask<const N: usize>(
    app: &AppHandle,
    kind: gtk::MessageType,
    heading: String,
    detail: String,
    buttons: [(&'static str, gtk::ResponseType); N],
    until: impl Future<Output = ()>,
) -> Option<gtk::ResponseType> {
    let (answer, answered) = oneshot::channel();
    let (shown, showing) = oneshot::channel();
    let show = move || {
        let dialog = gtk::MessageDialog::new::<gtk::Window>(
            None,
            gtk::DialogFlags::empty(),
            kind,
            gtk::ButtonsType::None,
            &heading,
        );
        dialog.set_secondary_text(Some(&detail));
        let asks = kind == gtk::MessageType::Question;
        dialog.set_title(if asks { "MHNOS Runtime asks" } else { "MHNOS Runtime" });
        dialog.set_icon_name(Some("mhnos-desktop"));
        arrange(&dialog);
        for (label, response) in buttons {
            dialog.add_button(label, response);
            dialog.set_response_sensitive(response, response == gtk::ResponseType::Reject);
        }
        dialog.set_default_response(gtk::ResponseType::Reject);
        dialog.set_keep_above(true);
        dialog.set_urgency_hint(true);
        dialog.set_position(gtk::WindowPosition::Center);
        let answer = std::cell::Cell::new(Some(answer));
        dialog.connect_response(move |dialog, response| {
            // Closing it is a response, too. It must not be closed once more then: GTK carries that out later, when it is gone.
            let Some(answer) = answer.take() else { return };
            // Nobody waits any more when it was closed from here.
            let _ = answer.send(response);
            if response != gtk::ResponseType::DeleteEvent {
                dialog.hide();
                dialog.close();
            }
        });
        dialog.show();
        dialog.present();
        let weak = dialog.downgrade();
        glib::timeout_add_local_once(GRACE, move || {
            if let Some(dialog) = weak.upgrade() {
                buttons.iter().for_each(|(_, response)| dialog.set_response_sensitive(*response, true));
            }
        });
        let _ = shown.send(glib::SendWeakRef::from(dialog.downgrade()));
    };
    app.run_on_main_thread(show).ok()?;
    let dialog = showing.await.ok()?;
    tokio::select! {
        answer = answered => answer.ok(),
        () = until => {
            let _ = app.run_on_main_thread(move || {
                if let Some(dialog) = dialog.upgrade() {
                    dialog.close();
                }
            });
            None
        }
    }
}

/// Text at one edge with room around it, and whose question it is as a picture beside it.
fn arrange(dialog: &gtk::MessageDialog) {
    let Ok(texts) = dialog.message_area().downcast::<gtk::Box>() else { return };
    texts.set_margin(12);
    texts.set_spacing(8);
    for text in texts.children() {
        if let Ok(text) = text.downcast::<gtk::Label>() {
            text.set_xalign(0.0);
            text.set_halign(gtk::Align::Start);
            text.set_max_width_chars(56);
        }
    }
    let picture = glib::Bytes::from_static(include_bytes!("../../icons/app/128.png"));
    let picture = gtk::gdk_pixbuf::Pixbuf::from_stream_at_scale(
        &gtk::gio::MemoryInputStream::from_bytes(&picture),
        PICTURE,
        PICTURE,
        true,
        gtk::gio::Cancellable::NONE,
    );
    if let (Ok(picture), Some(row)) =
        (picture, texts.parent().and_then(|row| row.downcast::<gtk::Box>().ok()))
    {
        let image = gtk::Image::from_pixbuf(Some(&picture));
        image.set_valign(gtk::Align::Start);
        image.set_margin(12);
        image.set_margin_end(0);
        image.show();
        row.pack_start(&image, false, false, 0);
        row.reorder_child(&image, 0);
    }
}

/// Lets the person choose a folder.
pub(crate) async fn choose_folder(app: &AppHandle, title: &'static str) -> Option<std::path::PathBuf> {
    let (answer, answered) = oneshot::channel();
    let show = move || {
        let chooser = gtk::FileChooserDialog::with_buttons(
            Some(title),
            None::<&gtk::Window>,
            gtk::FileChooserAction::SelectFolder,
            &[("_Cancel", gtk::ResponseType::Cancel), ("_Choose", gtk::ResponseType::Accept)],
        );
        let answer = std::cell::Cell::new(Some(answer));
        chooser.connect_response(move |chooser, response| {
            let Some(answer) = answer.take() else { return };
            let chosen = (response == gtk::ResponseType::Accept).then(|| chooser.filename()).flatten();
            let _ = answer.send(chosen);
            if response != gtk::ResponseType::DeleteEvent {
                chooser.hide();
                chooser.close();
            }
        });
        chooser.show();
    };
    app.run_on_main_thread(show).ok()?;
    answered.await.ok().flatten()
}
