//! Who the client is: password, token, nkey or credentials, and how it proves that to a server.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use tenure_base_net::secret::{self, ExposeSecret};

use crate::error::ConfigError;
use crate::nkey::NKey;

/// How the client says who it is. Never shown, not even in `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Login {
    /// It does not say.
    #[default]
    Anonymous,
    /// User and password.
    User {
        /// The user's name.
        name: String,
        /// The password.
        password: String,
    },
    /// One shared token.
    Token(String),
    /// The seed of a user's nkey (`SU...`): it signs what the server asks and is itself never sent.
    NKey(String),
    /// A decentralised user: the JWT, and the seed that signs for it.
    Credentials {
        /// What the server is shown.
        jwt: String,
        /// The seed of the user's nkey, never sent.
        seed: String,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Login::Anonymous => "Anonymous",
            Login::User { .. } => "User(***)",
            Login::Token(_) => "Token(***)",
            Login::NKey(_) => "NKey(***)",
            Login::Credentials { .. } => "Credentials(***)",
        })
    }
}

impl Login {
    /// The login that these variables give, the first of: `NATS_CREDS` (a file), `NATS_NKEY` (a seed, or a file that
    /// holds one), `NATS_USER` with `NATS_PASSWORD`, `NATS_TOKEN`. The last two may be given as `NATS_PASSWORD_FILE` and
    /// `NATS_TOKEN_FILE`, which name files. The error names the variable, never its secret.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<String>) -> Result<Login, ConfigError> {
        let given = |name: &str| lookup(name).filter(|value| !value.is_empty());
        if let Some(path) = given("NATS_CREDS") {
            return Login::read_credentials(&path).map_err(|why| ConfigError::new(format!("NATS_CREDS: {why}")));
        }
        if let Some(value) = given("NATS_NKEY") {
            return Login::nkey(&value).map_err(|why| ConfigError::new(format!("NATS_NKEY: {why}")));
        }
        let secret = |name: &str| match secret::from_environment(&[name], &lookup) {
            Ok(found) => Ok(found.map(|secret| secret.expose_secret().to_owned())),
            Err(error) => Err(ConfigError::new(error.to_string())),
        };
        match (given("NATS_USER"), secret("NATS_PASSWORD")?, secret("NATS_TOKEN")?) {
            (Some(name), password, _) => Ok(Login::User { name, password: password.unwrap_or_default() }),
            (None, _, Some(token)) => Ok(Login::Token(token)),
            (None, Some(_), None) => Err(ConfigError::new("NATS_PASSWORD is set without NATS_USER")),
            (None, None, None) => Ok(Login::Anonymous),
        }
    }

    fn read_credentials(path: &str) -> Result<Login, String> {
        // Some platforms hand in what stands in the file: that is not repeated.
        if path.contains(['\n', '\r']) || path.contains("-----BEGIN") {
            return Err("it holds the credentials themselves: name a file that holds them".to_owned());
        }
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
        let block = |name: &str| {
            let inner = text.split_once(&format!("-----BEGIN {name}-----"))?.1;
            // The closing line has one dash more or less, depending on who wrote it.
            Some(inner.split_once("---")?.0.trim().to_owned())
        };
        let jwt = block("NATS USER JWT").ok_or_else(|| format!("{path} holds no NATS USER JWT"))?;
        let seed = block("USER NKEY SEED").ok_or_else(|| format!("{path} holds no USER NKEY SEED"))?;
        check_seed(&seed).map_err(|why| format!("{path}: {why}"))?;
        Ok(Login::Credentials { jwt, seed })
    }

    fn nkey(value: &str) -> Result<Login, String> {
        if check_seed(value).is_ok() {
            return Ok(Login::NKey(value.to_owned()));
        }
        // A value that is no seed names a file, unless it looks like a seed with a typing error: that is not repeated.
        if value.starts_with('S') && !value.contains(['/', '.', '\\']) {
            return Err("it begins like a seed and is none".to_owned());
        }
        let text = std::fs::read_to_string(value)
            .map_err(|error| format!("it is neither a user's seed (SU...) nor a readable file: {error}"))?;
        let seed = text.lines().map(str::trim).find(|line| check_seed(line).is_ok());
        seed.map(|seed| Login::NKey(seed.to_owned())).ok_or_else(|| "the file holds no user's seed (SU...)".to_owned())
    }

    /// Adds the fields of CONNECT that say who the client is; a key signs `nonce`, which the server chose.
    pub(crate) fn answer(&self, nonce: &str, connect: &mut Map<String, Value>) -> Result<(), String> {
        match self {
            Login::Anonymous => {}
            Login::User { name, password } => {
                connect.insert("user".into(), json!(name));
                connect.insert("pass".into(), json!(password));
            }
            Login::Token(token) => {
                connect.insert("auth_token".into(), json!(token));
            }
            Login::NKey(seed) => {
                let (key, signature) = sign(seed, nonce)?;
                connect.insert("nkey".into(), json!(key));
                connect.insert("sig".into(), json!(signature));
            }
            Login::Credentials { jwt, seed } => {
                let (_, signature) = sign(seed, nonce)?;
                connect.insert("jwt".into(), json!(jwt));
                connect.insert("sig".into(), json!(signature));
            }
        }
        Ok(())
    }
}

fn check_seed(seed: &str) -> Result<(), String> {
    NKey::from_seed(seed).map(|_| ()).ok_or_else(|| "the seed is none".to_owned())
}

fn sign(seed: &str, nonce: &str) -> Result<(String, String), String> {
    let key = NKey::from_seed(seed).ok_or("the nkey's seed cannot sign")?;
    Ok((key.public_key(), URL_SAFE_NO_PAD.encode(key.sign(nonce.as_bytes()))))
}

#[cfg(test)]
mod tests {
    use nkeys::KeyPair;

    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Login, ConfigError> {
        Login::from_environment(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    /// Each way to log in is read from its variables, and the first one wins.
    #[test]
    fn every_login_comes_from_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let seed = KeyPair::new_user().seed().unwrap();
        let (creds, key) = (folder.path().join("a.creds"), folder.path().join("a.nk"));
        let text = format!(
            "-----BEGIN NATS USER JWT-----\nheader.body.sig\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        std::fs::write(&creds, text).unwrap();
        std::fs::write(&key, format!("# a comment\n{seed}\n")).unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "t\n").unwrap();
        let user = Login::User { name: "u".into(), password: "p".into() };
        assert_eq!(from(&[]).unwrap(), Login::Anonymous);
        assert_eq!(from(&[("NATS_USER", "u"), ("NATS_PASSWORD", "p"), ("NATS_TOKEN", "t")]).unwrap(), user);
        assert_eq!(from(&[("NATS_TOKEN", "t")]).unwrap(), Login::Token("t".into()));
        assert_eq!(from(&[("NATS_TOKEN_FILE", token.to_str().unwrap())]).unwrap(), Login::Token("t".into()));
        assert_eq!(from(&[("NATS_NKEY", &seed), ("NATS_USER", "u")]).unwrap(), Login::NKey(seed.clone()));
        assert_eq!(from(&[("NATS_NKEY", key.to_str().unwrap())]).unwrap(), Login::NKey(seed.clone()));
        let expected = Login::Credentials { jwt: "header.body.sig".into(), seed: seed.clone() };
        assert_eq!(from(&[("NATS_CREDS", creds.to_str().unwrap()), ("NATS_NKEY", "x")]).unwrap(), expected);
    }

    /// What is wrong is named by its variable, and no secret is repeated.
    #[test]
    fn wrong_logins_are_named_without_their_secrets() {
        let seed = KeyPair::new_user().seed().unwrap();
        let slip = &seed[..seed.len() - 1];
        for (name, value) in
            [("NATS_NKEY", slip), ("NATS_NKEY", "/nowhere"), ("NATS_CREDS", "/nowhere"), ("NATS_PASSWORD", "hunter2")]
        {
            let error = from(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("hunter2") && !error.contains(slip), "{error}");
        }
        let shown = format!("{:?} {:?}", Login::Token("hunter2".into()), Login::NKey(seed.clone()));
        assert!(!shown.contains("hunter2") && !shown.contains(&seed), "{shown}");
    }
}
