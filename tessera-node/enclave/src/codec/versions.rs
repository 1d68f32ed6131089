//! What a peer understands, as its version header says.

use std::collections::BTreeSet;
use std::fmt;

use super::PayloadCodec;

/// One version of the peer interface. Declared in the order of the header, which sorts them as strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiVersion {
    /// `2.1`: several tenants on one node.
    MultiTenancy,
    /// `3.0`: privacy groups.
    PrivacyGroups,
    /// `4.0`: mandatory recipients.
    MandatoryRecipients,
    /// `5.0`: payloads as CBOR.
    Cbor,
    /// `v1`: the base.
    Base,
    /// `v2`: privacy modes 1 and 3.
    EnhancedPrivacy,
}

impl ApiVersion {
    /// Every version, in the order of the header.
    pub const ALL: [Self; 6] = [
        Self::MultiTenancy,
        Self::PrivacyGroups,
        Self::MandatoryRecipients,
        Self::Cbor,
        Self::Base,
        Self::EnhancedPrivacy,
    ];

    /// The version as the header names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MultiTenancy => "2.1",
            Self::PrivacyGroups => "3.0",
            Self::MandatoryRecipients => "4.0",
            Self::Cbor => "5.0",
            Self::Base => "v1",
            Self::EnhancedPrivacy => "v2",
        }
    }
}

/// The versions that a node advertises. Versions that we do not know are dropped: nothing of ours depends on them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiVersions(BTreeSet<ApiVersion>);

impl ApiVersions {
    /// Ours: what this node serves, and nothing else. A peer that reads `3.0` pushes privacy groups to us.
    pub fn ours() -> Self {
        let served = [
            ApiVersion::MandatoryRecipients,
            ApiVersion::Cbor,
            ApiVersion::Base,
            ApiVersion::EnhancedPrivacy,
        ];
        Self(served.into())
    }

    /// Ours, for a push whose body is in `codec`: receivers choose the decoder by this header, so it must agree.
    pub fn ours_for(codec: PayloadCodec) -> Self {
        let mut versions = Self::ours();
        if codec == PayloadCodec::Legacy {
            versions.0.remove(&ApiVersion::Cbor);
        }
        versions
    }

    /// The versions of a request: any number of header lines, each a list. Java does not trim; we do.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let names = lines.into_iter().flat_map(|line| line.split(',')).map(str::trim);
        let known = names.filter_map(|name| ApiVersion::ALL.into_iter().find(|known| known.as_str() == name));
        Self(known.collect())
    }

    /// Whether the peer understands this.
    pub fn contains(&self, version: ApiVersion) -> bool {
        self.0.contains(&version)
    }

    /// The best format that the peer reads.
    pub fn preferred_codec(&self) -> PayloadCodec {
        if self.contains(ApiVersion::Cbor) { PayloadCodec::Cbor } else { PayloadCodec::Legacy }
    }

    /// The list of `GET /version/api`: ours without the `v`, in numeric order.
    pub fn numbers() -> [&'static str; 4] {
        ["1.0", "2.0", "4.0", "5.0"]
    }
}

/// The header's value: bare commas, since receivers do not trim.
impl fmt::Display for ApiVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, version) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}", version.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_body_agree() {
        assert_eq!(ApiVersions::ours_for(PayloadCodec::Legacy).to_string(), "4.0,v1,v2");
        for codec in [PayloadCodec::Legacy, PayloadCodec::Cbor] {
            assert_eq!(ApiVersions::ours_for(codec).preferred_codec(), codec);
        }
    }

    #[test]
    fn lists_lines_spaces_and_unknown_versions_are_read() {
        let versions = ApiVersions::parse(["v1, v2", "5.0,9.9"]);
        assert_eq!(versions.to_string(), "5.0,v1,v2");
        assert_eq!(versions.preferred_codec(), PayloadCodec::Cbor);
    }

    #[test]
    fn nothing_advertised_means_legacy() {
        assert_eq!(ApiVersions::parse([]).preferred_codec(), PayloadCodec::Legacy);
        assert_eq!(ApiVersions::parse([""]).to_string(), "");
    }
}
