//! What a person can expect of a restart, by the cause: a small, conservative table. It changes nothing about restarts. The
//! expensive mistake is to call for a person where a restart would have helped, so what is in doubt is unknown.

/// What no restart fixes, what passes, and all else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Advice {
    #[default]
    Unknown,
    /// No restart fixes it.
    NeedsPerson,
    /// It passes by itself; a restart after that helps.
    Passes,
}

impl Advice {
    /// As documents and the state name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NeedsPerson => "needs_person",
            Self::Passes => "passes",
        }
    }

    /// The advice of this name; what is not known is unknown.
    pub fn parse(text: &str) -> Self {
        match text {
            "needs_person" => Self::NeedsPerson,
            "passes" => Self::Passes,
            _ => Self::Unknown,
        }
    }
}

/// A part of the cause, in lower case, and the advice that goes with it. The first that fits is taken: what passes stands
/// before what needs a person, because a record cannot be read either while the schema registry is away.
pub const MESSAGES: &[(&str, Advice)] = &[
    // Away, or too busy.
    ("connection refused", Advice::Passes),
    ("connection reset", Advice::Passes),
    ("connection lost", Advice::Passes),
    ("prematurely reached end of stream", Advice::Passes),
    ("connection closed", Advice::Passes),
    ("connection is closed", Advice::Passes),
    ("connection has been closed", Advice::Passes),
    ("broken pipe", Advice::Passes),
    ("no route to host", Advice::Passes),
    ("network is unreachable", Advice::Passes),
    ("timed out", Advice::Passes),
    ("timeout", Advice::Passes),
    ("deadline exceeded", Advice::Passes),
    ("unavailable", Advice::Passes),
    ("host_not_available", Advice::Passes),
    ("communications link failure", Advice::Passes),
    ("an i/o error occurred while sending to the backend", Advice::Passes),
    ("the database system is starting up", Advice::Passes),
    ("the database system is shutting down", Advice::Passes),
    ("connection_forced", Advice::Passes),
    ("is loading the dataset", Advice::Passes),
    ("terminating connection due to administrator command", Advice::Passes),
    ("too many connections", Advice::Passes),
    ("too many clients", Advice::Passes),
    ("too many simultaneous queries", Advice::Passes),
    ("remaining connection slots are reserved", Advice::Passes),
    ("ora-00020", Advice::Passes), // maximum number of processes
    ("ora-01033", Advice::Passes), // initialization or shutdown in progress
    ("not primary", Advice::Passes),
    ("node is recovering", Advice::Passes),
    ("not supported in state standby", Advice::Passes),
    ("too many requests", Advice::Passes),
    ("'too_many_requests'", Advice::Passes),
    ("provisioned throughput", Advice::Passes),
    ("server is busy", Advice::Passes),
    ("rate exceeded", Advice::Passes),
    ("slow down", Advice::Passes),
    ("slowdown", Advice::Passes),
    // Credentials that a start fetches anew.
    ("expired", Advice::Unknown),
    ("invalid_token", Advice::Unknown),
    ("gss initiate failed", Advice::Unknown),
    // Wrong credentials.
    ("access denied for user", Advice::NeedsPerson),
    ("login failed for user", Advice::NeedsPerson),
    ("invalid username", Advice::NeedsPerson),
    ("incorrect username or password", Advice::NeedsPerson),
    ("auth fail", Advice::NeedsPerson),
    ("authentication fail", Advice::NeedsPerson),
    ("login was refused", Advice::NeedsPerson),
    ("user id or password invalid", Advice::NeedsPerson),
    ("mqrc_not_authorized", Advice::NeedsPerson),
    ("keystore password was incorrect", Advice::NeedsPerson),
    ("unable to authenticate", Advice::NeedsPerson),
    ("access key id you provided does not exist", Advice::NeedsPerson),
    ("signaturedoesnotmatch", Advice::NeedsPerson),
    ("permission denied for", Advice::NeedsPerson),
    ("unauthorized", Advice::NeedsPerson),
    ("invalid client secret", Advice::NeedsPerson),
    // A position that is gone.
    ("do not contain the offset scn", Advice::NeedsPerson),
    ("but this is no longer available", Advice::NeedsPerson),
    ("resume of change stream was not possible", Advice::NeedsPerson),
    ("could not find first log file name", Advice::NeedsPerson),
    ("requested wal segment", Advice::NeedsPerson),
    ("out of range for partition", Advice::NeedsPerson),
    ("can no longer get changes from replication slot", Advice::NeedsPerson),
    ("resumetoken not found", Advice::NeedsPerson),
    // A missing table, topic, database or index.
    ("is missing and auto-creation is disabled", Advice::NeedsPerson),
    ("unknown database", Advice::NeedsPerson),
    ("database not found", Advice::NeedsPerson),
    ("invalid object name", Advice::NeedsPerson),
    ("no such table", Advice::NeedsPerson),
    ("index_not_found_exception", Advice::NeedsPerson),
    ("no queue '", Advice::NeedsPerson),
    // A record that cannot be read, or that the target refuses each time.
    ("unknown magic byte", Advice::NeedsPerson),
    ("error deserializing", Advice::NeedsPerson),
    ("used for required field", Advice::NeedsPerson),
    ("jsonparseexception", Advice::NeedsPerson),
    ("jsonconverter with schemas.enable requires", Advice::NeedsPerson),
    ("unexpected end-of-input", Advice::NeedsPerson),
    ("schema being registered is incompatible", Advice::NeedsPerson),
    ("value too long", Advice::NeedsPerson),
    ("but expression is of type", Advice::NeedsPerson),
    ("field type conflict", Advice::NeedsPerson),
    ("mapper_parsing_exception", Advice::NeedsPerson),
    ("strict_dynamic_mapping_exception", Advice::NeedsPerson),
    ("only struct objects supported", Advice::NeedsPerson),
    ("requires records with a non-null key", Advice::NeedsPerson),
    ("field does not exist", Advice::NeedsPerson),
    // A missing class.
    ("classnotfoundexception", Advice::NeedsPerson),
    ("noclassdeffounderror", Advice::NeedsPerson),
    ("serviceconfigurationerror", Advice::NeedsPerson),
    ("unsupportedclassversionerror", Advice::NeedsPerson),
    ("nosuchmethoderror", Advice::NeedsPerson),
    ("failed to find any class that implements", Advice::NeedsPerson),
    ("no suitable driver", Advice::NeedsPerson),
];

/// What is missing where it says that something does not exist.
const MISSING: [&str; 8] =
    ["relation", "table", "topic", "database", "bucket", "collection", "schema", "queue"];

/// A class anywhere in the chain, by its last name, where the message tells nothing.
pub const CLASSES: &[(&str, Advice)] = &[
    ("ConnectTimeoutException", Advice::Passes),
    ("TimeoutException", Advice::Passes),
    ("UnknownHostException", Advice::Unknown),
    ("NotLeaderOrFollowerException", Advice::Passes),
    ("LeaderNotAvailableException", Advice::Passes),
    ("DisconnectException", Advice::Passes),
    ("SaslAuthenticationException", Advice::NeedsPerson),
    ("MongoSecurityException", Advice::NeedsPerson),
    ("RecordTooLargeException", Advice::NeedsPerson),
];

/// The advice for a cause, unmasked and uncut, and the classes of its chain.
pub fn of(cause: &str, classes: &[&str]) -> Advice {
    let lower = cause.to_ascii_lowercase();
    let missing = ["does not exist", "doesn't exist"].iter().any(|words| lower.contains(words))
        && MISSING.iter().any(|what| lower.contains(what));
    let by_message = MESSAGES.iter().find(|(part, _)| says(&lower, part)).map(|(_, advice)| *advice);
    let is_called = |class: &str, name: &str| class.rsplit('.').next() == Some(name);
    let by_class = CLASSES.iter().find(|(name, _)| classes.iter().any(|class| is_called(class, name)));
    match by_message {
        Some(Advice::Passes) => Advice::Passes,
        _ if missing => Advice::NeedsPerson,
        Some(advice) => advice,
        None => by_class.map_or(Advice::Unknown, |(_, advice)| *advice),
    }
}

/// Whether these words are in the text, and are not the beginning of a setting's name (`timeout.ms`, `unavailable_since`).
fn says(text: &str, words: &str) -> bool {
    text.match_indices(words).any(|(at, _)| {
        let behind = text.get(at.saturating_add(words.len())..).unwrap_or_default();
        !behind.strip_prefix(['.', '_']).is_some_and(|name| name.starts_with(char::is_alphanumeric))
    })
}
