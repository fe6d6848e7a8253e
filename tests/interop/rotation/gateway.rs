//! Apache httpd with mod_oauth2, as Debian packages them: a gateway that lets the bearer of a valid token through.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::interop::process::Serving;
use crate::support::{ports, say};

const PROGRAM: &str = "/usr/sbin/apache2";
const MODULES: &str = "/usr/lib/apache2/modules";

pub struct Gateway {
    pub serving: Serving,
    _dir: TempDir,
}

/// Starts one, if the packages are there; says so if not.
pub fn start(jwks_uri: &str) -> Option<Gateway> {
    if !Path::new(PROGRAM).exists() || !Path::new(MODULES).join("mod_oauth2.so").exists() {
        let lack = "there is no Apache with mod_oauth2 (Debian: apache2-bin, libapache2-mod-oauth2)";
        assert!(std::env::var("SIGNET_TEST_INTEROP").as_deref() != Ok("required"), "{lack}");
        say(&format!("NOTE: {lack}, so no gateway was tested."));
        return None;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    // A server that is started by root serves as somebody else, who has to be able to look.
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("our own folder");
    fs::create_dir(dir.path().join("pages")).expect("our own folder");
    fs::write(dir.path().join("pages/index.html"), "welcome").expect("our own folder");
    let [port] = ports::free();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let file = dir.path().join("httpd.conf");
    let text = configuration(dir.path(), &address.to_string(), jwks_uri);
    fs::write(&file, text).expect("our own folder");
    // In one process (-X), so that whoever ends it ends all of it.
    let serving = Serving::start_at(Command::new(PROGRAM).args(["-X", "-f"]).arg(&file), address);
    Some(Gateway { serving, _dir: dir })
}

/// The JWKS is kept as the module sees fit: for a day, but a token that does not verify makes it look again. What it found
/// out about a token it would keep for five minutes; for a second here, so that it has to look at old ones again.
fn configuration(dir: &Path, address: &str, jwks_uri: &str) -> String {
    let dir = dir.display();
    let module = |name: &str| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n");
    let modules: String = ["mpm_event", "authn_core", "authz_core", "authz_user", "dir", "oauth2"].map(module).concat();
    format!(
        r#"{modules}
ServerRoot "{dir}"
ServerName localhost
DefaultRuntimeDir "{dir}"
PidFile "{dir}/pid"
ErrorLog /dev/stderr
LogLevel error
Listen {address}
StartServers 1
ServerLimit 1
ThreadsPerChild 8
MaxRequestWorkers 8
DocumentRoot "{dir}/pages"
DirectoryIndex index.html
User nobody
Group nogroup
<Location "/">
    AuthType oauth2
    OAuth2TokenVerify jwks_uri {jwks_uri} expiry=1
    Require valid-user
</Location>
"#
    )
}
