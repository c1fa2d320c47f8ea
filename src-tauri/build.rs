//! Hands the configuration, the icons and the permissions to Tauri: for each command of the window one, and for no other.

fn main() {
    const COMMANDS: &[&str] = &[
        "engine_state",
        "engine_start",
        "engine_stop",
        "engine_restart",
        "engine_switch",
        "connection",
        "settings",
        "settings_save",
        "open",
        "open_url",
        "doctor",
        "doctor_fix",
        "export_diagnostics",
        "choose_folder",
        "reset",
        "quit",
        "docker",
        "docker_stream",
        "docker_stream_stop",
    ];
    let manifest = tauri_build::AppManifest::new().commands(COMMANDS);
    if let Err(error) = tauri_build::try_build(tauri_build::Attributes::new().app_manifest(manifest)) {
        println!("cargo::error={error:#}");
    }
}
