//! What each line of the checklist demands, in one sentence. Pure.

use tessera_crds::checklist::Line;

/// What `line` demands.
pub(super) fn title(line: Line) -> &'static str {
    match line {
        Line::NetworkSegment => "Nodes run in an independent network segment",
        Line::MutualTls => "Certificates authenticate both sides of every connection to a dependency",
        Line::HardwareKeys => "Encryption keys live in HSM-class storage",
        Line::KeyRotation => "The secret store supports key rotation, and keys are rotated",
        Line::OfflineKeyBackup => "Encryption keys are backed up in offline, secured locations",
        Line::SecretStoreIsolation => "The secret store is isolated from external networks",
        Line::NoClearTextCredentials => {
            "Configuration holds no connection string or credential in clear text"
        }
        Line::SecretStoreTenancy => "The secret store is single-tenant",
        Line::HostFirewall => {
            "Inbound and outbound traffic is limited to the services used, DNS and time included"
        }
        Line::SecretStoreAccess => {
            "The secret store is reachable from allow-listed addresses only, and people need a second factor"
        }
        Line::NoRemoteRoot => "Nobody has remote root access to the hosts of nodes and secret store",
        Line::CentralLogging => "Logs of nodes and their dependencies are kept remotely, in one place",
        Line::NoCoreDumps => "No core dumps",
        Line::ImmutableUpgrades => "Upgrades are immutable and frequent",
    }
}
