//! The icon in the tray and its menu: a StatusNotifierItem, offered on the session bus, whose menu the panel draws.
//!
//! What is shown is computed anew when what is the case has changed; of that, only what differs goes over the bus, so that a menu that is
//! open stays as it is. Pictures go over the bus themselves; no file of them is written anywhere. Without a bus, or without a panel
//! that shows such icons, [`Desktop::tray`] says so and the window stands in; a panel that comes later is noticed.

mod icon;
mod menu;

use std::sync::Arc;

use ksni::{OfflineReason, TrayMethods};
use tokio::runtime::Handle;

use self::icon::Sign;
use self::menu::{Action, Entry};
use crate::desktop::Desktop;
use crate::engine::Kind;
use crate::window::{self, Page};
use crate::{dialogs, settings};

/// What the panel asks for.
struct Item {
    desktop: Arc<Desktop>,
    runtime: Handle,
    sign: Sign,
    is_dark: bool,
    title: String,
    entries: Vec<Entry>,
}

impl ksni::Tray for Item {
    fn id(&self) -> String {
        "mhnos-runtime".into()
    }

    fn title(&self) -> String {
        self.title.clone()
    }

    fn icon_pixmap(&self) -> Vec<ksni::Icon> {
        icon::pictures(self.sign, self.is_dark)
    }

    fn tool_tip(&self) -> ksni::ToolTip {
        ksni::ToolTip { title: self.title.clone(), ..ksni::ToolTip::default() }
    }

    fn activate(&mut self, _x: i32, _y: i32) {
        window::show(&self.desktop.app, Page::First);
    }

    fn menu(&self) -> Vec<ksni::MenuItem<Self>> {
        self.entries.iter().map(item).collect()
    }

    fn watcher_online(&self) {
        self.desktop.tray.send_replace(Some(true));
    }

    fn watcher_offline(&self, reason: OfflineReason) -> bool {
        tracing::info!(?reason, "no tray");
        self.desktop.tray.send_replace(Some(false));
        true
    }
}

/// An entry in the form the bus has for it.
fn item(entry: &Entry) -> ksni::MenuItem<Item> {
    use ksni::menu::{RadioGroup, RadioItem, StandardItem, SubMenu};
    let escape = |label: &str| label.replace('_', "__");
    match entry {
        Entry::Line => ksni::MenuItem::Separator,
        Entry::Text(label) => {
            StandardItem { label: escape(label), enabled: false, ..Default::default() }.into()
        }
        Entry::Do { label, action, enabled } => {
            let action = action.clone();
            let activate = move |item: &mut Item| {
                item.runtime.spawn(perform(Arc::clone(&item.desktop), action.clone()));
            };
            StandardItem {
                label: escape(label),
                enabled: *enabled,
                activate: Box::new(activate),
                ..Default::default()
            }
            .into()
        }
        Entry::More { label, entries } => SubMenu {
            label: escape(label),
            submenu: entries.iter().map(item).collect(),
            ..Default::default()
        }
        .into(),
        Entry::Engines { chosen } => {
            let select = |item: &mut Item, index: usize| {
                let kind = if index == 1 { Kind::Docker } else { Kind::Native };
                item.runtime.spawn(perform(Arc::clone(&item.desktop), Action::Switch(kind)));
            };
            let options = ["Native", "Docker"];
            let options = options.map(|label| RadioItem { label: label.into(), ..Default::default() });
            RadioGroup {
                selected: usize::from(*chosen == Kind::Docker),
                select: Box::new(select),
                options: options.into(),
            }
            .into()
        }
    }
}

/// Does what was chosen; what goes wrong is said.
async fn perform(desktop: Arc<Desktop>, action: Action) {
    let app = desktop.app.clone();
    let failed: Result<(), String> = match action {
        Action::Start => {
            desktop.supervisor.start().await;
            Ok(())
        }
        Action::Stop => {
            desktop.supervisor.stop().await;
            Ok(())
        }
        Action::Restart => {
            desktop.supervisor.restart().await;
            Ok(())
        }
        Action::OtherPort => desktop.use_another_port().await.map(drop).map_err(|error| error.to_string()),
        Action::Switch(kind) => desktop.switch(kind).await.map_err(|error| error.to_string()),
        Action::Kill(pid) => menu::kill(&desktop, pid).await.map_err(|error| error.to_string()),
        Action::Show(page) => {
            window::show(&app, page);
            Ok(())
        }
        Action::OpenMhnos => {
            let address = settings::app(&desktop.state).mhnos_address;
            desktop.open(&address).map_err(|error| error.to_string())
        }
        Action::OpenWorkspace => desktop.open(&desktop.workspace()).map_err(|error| error.to_string()),
        Action::Quit => {
            desktop.quit().await;
            Ok(())
        }
    };
    if let Err(why) = failed {
        dialogs::say(&app, "That did not work".into(), why).await;
    }
}

/// Offers the icon, and keeps it true for as long as the app runs.
pub(crate) async fn show(desktop: Arc<Desktop>) {
    let mut snapshot = desktop.supervisor.snapshot();
    let mut is_dark = icon::dark_panel(&desktop.app).await;
    let now = snapshot.borrow_and_update().clone();
    let chosen = settings::app(&desktop.state).engine;
    let item = Item {
        runtime: Handle::current(),
        sign: Sign::of(&now),
        is_dark: *is_dark.borrow_and_update(),
        title: menu::title(&now),
        entries: menu::entries(&now, chosen),
        desktop: Arc::clone(&desktop),
    };
    let handle = match item.assume_sni_available(true).spawn().await {
        Ok(handle) => handle,
        Err(error) => {
            tracing::info!(%error, "no tray: the window stands in for it");
            desktop.tray.send_replace(Some(false));
            return;
        }
    };
    // What is offline by now has said so.
    desktop.tray.send_if_modified(|tray| tray.is_none() && tray.replace(true).is_none());
    loop {
        tokio::select! {
            changed = snapshot.changed() => if changed.is_err() {
                return;
            },
            changed = is_dark.changed() => if changed.is_err() {
                return;
            },
        }
        let now = snapshot.borrow_and_update().clone();
        let dark = *is_dark.borrow_and_update();
        let chosen = settings::app(&desktop.state).engine;
        let (sign, title, entries) = (Sign::of(&now), menu::title(&now), menu::entries(&now, chosen));
        let update = handle.update(|item| {
            (item.sign, item.is_dark, item.title, item.entries) = (sign, dark, title, entries);
        });
        if update.await.is_none() {
            return;
        }
    }
}
