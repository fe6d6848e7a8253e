//! Mails as files: one `.eml` each, for a laptop or for tests. Only their owner can read them, since tokens are in them.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use super::{Failure, Mailer, Parcel};

/// A folder that takes mails.
pub(super) struct Folder {
    path: PathBuf,
    announce: bool,
}

impl Folder {
    pub(super) fn new(path: PathBuf, announce: bool) -> Self {
        Self { path, announce }
    }

    fn write(&self, parcel: &Parcel) -> std::io::Result<PathBuf> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let name = format!("{}.{}", parcel.name, parcel.template.as_str());
        // Under another name until it is whole, so that nobody reads half a mail.
        let (draft, file) = (self.path.join(format!("{name}.part")), self.path.join(format!("{name}.eml")));
        let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        open.write_all(&parcel.mail.formatted())?;
        std::fs::rename(&draft, &file)?;
        Ok(file)
    }
}

impl Mailer for Folder {
    fn send(&self, parcel: &Parcel) -> Result<(), Failure> {
        let file = self.write(parcel).map_err(|_| Failure::ForNow("folder"))?;
        if self.announce {
            let use_it = parcel.token_or_link.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
            println!("  mail  {} for {}{use_it}\n        {}", parcel.template.as_str(), parcel.to, file.display());
        }
        Ok(())
    }
}
