//! A panel that shows tray icons, as far as D-Bus sees one: the `StatusNotifierWatcher` with which icons register, and a reader of their
//! menus that clicks.

use std::collections::HashMap;

use mhnos_tests::within;
use tokio::sync::watch;
use zbus::message::Header;
use zbus::zvariant::{OwnedValue, Value};
use zbus::{Connection, connection, interface, proxy};

use crate::session::Session;

struct Watcher {
    items: watch::Sender<Option<String>>,
}

#[interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    async fn register_status_notifier_item(&self, service: String, #[zbus(header)] header: Header<'_>) {
        // An item names its bus name, or only its path.
        let name = match service.strip_prefix('/') {
            Some(_) => header.sender().unwrap().to_string(),
            None => service,
        };
        self.items.send_replace(Some(name));
    }

    async fn register_status_notifier_host(&self, _service: String) {}

    #[zbus(property)]
    async fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    async fn protocol_version(&self) -> i32 {
        0
    }

    #[zbus(property)]
    async fn registered_status_notifier_items(&self) -> Vec<String> {
        self.items.borrow().iter().cloned().collect()
    }
}

#[proxy(
    interface = "org.kde.StatusNotifierItem",
    default_path = "/StatusNotifierItem",
    assume_defaults = false
)]
trait Item {
    #[zbus(property(emits_changed_signal = "false"))]
    fn title(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn icon_pixmap(&self) -> zbus::Result<Vec<(i32, i32, Vec<u8>)>>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn menu(&self) -> zbus::Result<zbus::zvariant::OwnedObjectPath>;
    fn activate(&self, x: i32, y: i32) -> zbus::Result<()>;
}

type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

#[proxy(interface = "com.canonical.dbusmenu", assume_defaults = false)]
trait Menu {
    fn get_layout(&self, parent: i32, depth: i32, properties: &[&str]) -> zbus::Result<(u32, Layout)>;
    fn event(&self, id: i32, event: &str, data: &Value<'_>, time: u32) -> zbus::Result<()>;
}

/// The panel of a session.
pub(crate) struct Panel {
    connection: Connection,
    items: watch::Sender<Option<String>>,
}

/// An entry of the menu.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    id: i32,
    /// What it says.
    pub(crate) label: String,
    /// Whether it can be chosen.
    pub(crate) enabled: bool,
}

impl Panel {
    /// One that is there.
    pub(crate) async fn open(session: &Session) -> Self {
        let items = watch::Sender::new(None);
        let connection = connection::Builder::address(session.bus_address())
            .unwrap()
            .serve_at("/StatusNotifierWatcher", Watcher { items: items.clone() })
            .unwrap()
            .name("org.kde.StatusNotifierWatcher")
            .unwrap()
            .build()
            .await
            .unwrap();
        Self { connection, items }
    }

    async fn item(&self) -> ItemProxy<'_> {
        let mut items = self.items.subscribe();
        let name =
            within("the icon registers", items.wait_for(Option::is_some)).await.unwrap().clone().unwrap();
        ItemProxy::builder(&self.connection)
            .destination(name)
            .unwrap()
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .unwrap()
    }

    /// The icon it knows is gone; the next that registers is looked at.
    pub(crate) fn forget(&self) {
        self.items.send_replace(None);
    }

    /// What the icon says.
    pub(crate) async fn title(&self) -> String {
        self.item().await.title().await.unwrap()
    }

    /// Waits until it says something.
    pub(crate) async fn until(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let waiting = async {
            loop {
                last = self.title().await;
                if fits(&last) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(mhnos_tests::DEADLINE, waiting).await.is_err() {
            panic!("the tray never said {what}; it says {last:?}");
        }
        last
    }

    /// The icon at 16 pixels.
    pub(crate) async fn icon(&self) -> Vec<u8> {
        let pictures = self.item().await.icon_pixmap().await.unwrap();
        pictures.into_iter().find(|(width, ..)| *width == 16).expect("a picture of 16 pixels").2
    }

    /// Clicks the icon itself.
    pub(crate) async fn activate(&self) {
        self.item().await.activate(0, 0).await.unwrap();
    }

    async fn menu(&self) -> MenuProxy<'_> {
        let item = self.item().await;
        let path = item.menu().await.unwrap();
        let name = item.inner().destination().to_owned();
        MenuProxy::builder(&self.connection)
            .destination(name)
            .unwrap()
            .path(path)
            .unwrap()
            .build()
            .await
            .unwrap()
    }

    /// All entries, those of submenus behind their own.
    pub(crate) async fn entries(&self) -> Vec<Entry> {
        let (_, layout) = self.menu().await.get_layout(0, -1, &[]).await.unwrap();
        let mut entries = Vec::new();
        collect(&layout, &mut entries);
        entries
    }

    /// Waits until an entry says this.
    pub(crate) async fn until_entry(&self, label: &str) {
        mhnos_tests::within(label, async {
            while !self.entries().await.iter().any(|entry| entry.label == label) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Chooses the first entry that begins so, once it can be chosen.
    pub(crate) async fn choose(&self, label: &str) {
        let mut entries = Vec::new();
        let finding = async {
            loop {
                entries = self.entries().await;
                let found = entries.iter().find(|entry| entry.enabled && entry.label.starts_with(label));
                match found {
                    Some(entry) => return entry.id,
                    None => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                }
            }
        };
        let Ok(id) = tokio::time::timeout(mhnos_tests::DEADLINE, finding).await else {
            panic!("{label:?} never could be chosen among {entries:#?}");
        };
        let answer = self.menu().await.event(id, "clicked", &Value::from(0), 0).await;
        // Who quits may be gone before it has answered.
        if !label.starts_with("Quit") {
            answer.unwrap();
        }
    }
}

fn collect((id, properties, children): &Layout, entries: &mut Vec<Entry>) {
    let label = properties.get("label").and_then(|label| String::try_from(label.try_clone().unwrap()).ok());
    let enabled = properties.get("enabled").and_then(|it| bool::try_from(it).ok()).unwrap_or(true);
    if let Some(label) = label {
        entries.push(Entry { id: *id, label: label.replace("__", "_"), enabled });
    }
    for child in children {
        collect(&Layout::try_from(child.try_clone().unwrap()).unwrap(), entries);
    }
}
