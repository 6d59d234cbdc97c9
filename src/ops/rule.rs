//! The rules of etcd-defrag: `dbQuotaUsage > 0.8 || dbSize - dbSizeInUse > 200*1024*1024`. The same variables and
//! operators; numbers are 64-bit floats, as there.
//!
//! Own code, of the size of an adapter. Of the crates for expressions evalexpr is AGPL, fasteval and meval are not kept any
//! more, and exmex 0.20 says false to the rule above where it is true (its `||` does not bind weaker than `>`) and knows no
//! `!`. This one names the place of a mistake and the variables there are, and a rule can do nothing but compare figures.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::units::bytes;
use crate::model::{Bytes, MemberView};

/// A rule that was read. In the journal it is its text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    text: String,
    expression: Expression,
}

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "rule {text:?}, at {at}: {reason}; the variables are dbSize, dbSizeInUse, dbSizeFree, dbQuota, dbQuotaUsage"
)]
pub struct RuleError {
    text: String,
    at: usize,
    reason: String,
}

/// What a rule can ask of a member. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variables {
    /// Allocated.
    pub db_size: f64,
    /// In use.
    pub db_size_in_use: f64,
    /// The quota.
    pub db_quota: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Number(f64),
    Variable(Variable),
    Not(Box<Self>),
    Negative(Box<Self>),
    Pair(Box<Self>, Operator, Box<Self>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Size,
    InUse,
    Free,
    Quota,
    QuotaUsage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Plus,
    Minus,
    Times,
    Divided,
    Modulo,
}

/// By precedence, the weakest first; longer spellings before their beginnings.
const LEVELS: &[&[(&str, Operator)]] = &[
    &[("||", Operator::Or)],
    &[("&&", Operator::And)],
    &[("==", Operator::Equal), ("!=", Operator::NotEqual)],
    &[
        ("<=", Operator::LessEqual),
        (">=", Operator::GreaterEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ],
    &[("+", Operator::Plus), ("-", Operator::Minus)],
    &[("*", Operator::Times), ("/", Operator::Divided), ("%", Operator::Modulo)],
];

/// A text may not nest deeper: a hostile one must not end the program.
const DEEPEST: usize = 64;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn fail<T>(&self, reason: impl Into<String>) -> Result<T, RuleError> {
        Err(RuleError { text: self.text.to_owned(), at: self.at, reason: reason.into() })
    }

    fn rest(&mut self) -> &str {
        let spaces = self.text[self.at..].len() - self.text[self.at..].trim_start().len();
        self.at += spaces;
        &self.text[self.at..]
    }

    fn takes(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn level(&mut self, level: usize) -> Result<Expression, RuleError> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.level(level + 1)?;
        while let Some(operator) = operators.iter().find(|(token, _)| self.takes(token)).map(|(_, o)| *o) {
            let right = self.level(level + 1)?;
            left = Expression::Pair(Box::new(left), operator, Box::new(right));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expression, RuleError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.fail("it nests too deeply");
        }
        let found = if self.takes("!") {
            Expression::Not(Box::new(self.unary()?))
        } else if self.takes("-") {
            Expression::Negative(Box::new(self.unary()?))
        } else if self.takes("(") {
            let inner = self.level(0)?;
            if !self.takes(")") {
                return self.fail("a ) is missing");
            }
            inner
        } else {
            self.atom()?
        };
        self.depth -= 1;
        Ok(found)
    }

    fn atom(&mut self) -> Result<Expression, RuleError> {
        let rest = self.rest();
        let end =
            rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_').unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        let found = match word.as_str() {
            "" => return self.fail("a number or a variable is missing"),
            "dbSize" => Expression::Variable(Variable::Size),
            "dbSizeInUse" => Expression::Variable(Variable::InUse),
            "dbSizeFree" => Expression::Variable(Variable::Free),
            "dbQuota" => Expression::Variable(Variable::Quota),
            "dbQuotaUsage" => Expression::Variable(Variable::QuotaUsage),
            "true" => Expression::Number(1.0),
            "false" => Expression::Number(0.0),
            word => match word.parse() {
                Ok(number) if word.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
                    Expression::Number(number)
                }
                _ => return self.fail(format!("unknown word {word:?}")),
            },
        };
        self.at += end;
        Ok(found)
    }
}

impl Expression {
    fn value(&self, v: &Variables) -> f64 {
        let truth = |b: bool| if b { 1.0 } else { 0.0 };
        match self {
            Self::Number(n) => *n,
            Self::Variable(variable) => match variable {
                Variable::Size => v.db_size,
                Variable::InUse => v.db_size_in_use,
                Variable::Free => v.db_size - v.db_size_in_use,
                Variable::Quota => v.db_quota,
                Variable::QuotaUsage => v.db_size / v.db_quota,
            },
            Self::Not(inner) => truth(inner.value(v) == 0.0),
            Self::Negative(inner) => -inner.value(v),
            Self::Pair(left, operator, right) => {
                let (a, b) = (left.value(v), right.value(v));
                match operator {
                    Operator::Or => truth(a != 0.0 || b != 0.0),
                    Operator::And => truth(a != 0.0 && b != 0.0),
                    #[allow(clippy::float_cmp)] // what the rule says
                    Operator::Equal => truth(a == b),
                    #[allow(clippy::float_cmp)] // what the rule says
                    Operator::NotEqual => truth(a != b),
                    Operator::Less => truth(a < b),
                    Operator::LessEqual => truth(a <= b),
                    Operator::Greater => truth(a > b),
                    Operator::GreaterEqual => truth(a >= b),
                    Operator::Plus => a + b,
                    Operator::Minus => a - b,
                    Operator::Times => a * b,
                    Operator::Divided => a / b,
                    Operator::Modulo => a % b,
                }
            }
        }
    }
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// Where and why it cannot be read.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let mut reader = Reader { text, at: 0, depth: 0 };
        let expression = reader.level(0)?;
        if !reader.rest().is_empty() {
            return reader.fail("an operator is missing");
        }
        Ok(Self { text: text.trim().to_owned(), expression })
    }

    /// Whether it is true.
    #[must_use]
    pub fn holds(&self, variables: &Variables) -> bool {
        self.expression.value(variables) != 0.0
    }

    /// Whether it is true of a member. `quota` is that of members that do not tell theirs.
    #[must_use]
    pub fn of(&self, m: &MemberView, quota: Option<Bytes>) -> Answer {
        let sizes = m.status.as_ref().and_then(|s| s.db_size.zip(s.db_size_in_use));
        let Some((size, in_use)) = sizes else {
            return Answer::Unknown(format!("the rule {self} asks for its sizes, which are not known"));
        };
        let quota = m.quota().map(|(q, _)| q).or(quota);
        if quota.is_none() && self.text.contains("dbQuota") {
            return Answer::Unknown(format!(
                "the rule {self} asks for its quota, which is not known: its /metrics tell it, or --quota"
            ));
        }
        #[allow(clippy::cast_precision_loss)] // sizes of databases
        let variables = Variables {
            db_size: size.0 as f64,
            db_size_in_use: in_use.0 as f64,
            db_quota: quota.map_or(0.0, |q| q.0 as f64),
        };
        if self.holds(&variables) {
            return Answer::True;
        }
        Answer::False(format!(
            "the rule {self} is false for {} with {} in use",
            bytes(size.0),
            bytes(in_use.0)
        ))
    }
}

/// What a rule says of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is true.
    True,
    /// It is false: the figures.
    False(String),
    /// What it asks for is not known.
    Unknown(String),
}

impl TryFrom<String> for Rule {
    type Error = RuleError;
    fn try_from(text: String) -> Result<Self, RuleError> {
        Self::parse(&text)
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.text
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: f64 = 1024.0 * 1024.0;

    #[test]
    #[allow(clippy::cast_precision_loss)]
    fn the_rules_of_etcd_defrags_documentation() {
        // (rule, size, in use, quota, answer): each example of its README, on both sides of its threshold.
        for (rule, size, in_use, quota, answer) in [
            ("dbSize > dbQuota*80/100", 81.0, 10.0, 100.0, true),
            ("dbSize > dbQuota*80/100", 80.0, 10.0, 100.0, false),
            ("dbQuotaUsage > 0.8", 81.0, 10.0, 100.0, true),
            ("dbQuotaUsage > 0.8", 80.0, 10.0, 100.0, false),
            ("dbSize - dbSizeInUse > 200*1024*1024", 300.0 * MIB, 99.0 * MIB, 0.0, true),
            ("dbSize - dbSizeInUse > 200*1024*1024", 300.0 * MIB, 100.0 * MIB, 0.0, false),
            ("dbSizeFree > 200*1024*1024", 300.0 * MIB, 99.0 * MIB, 0.0, true),
            ("dbQuotaUsage > 0.8 || dbSize - dbSizeInUse > 200*1024*1024", 10.0, 10.0, 12.0, true),
            ("dbQuotaUsage > 0.8 || dbSize - dbSizeInUse > 200*1024*1024", 10.0, 10.0, 100.0, false),
            ("dbSizeFree > 100*1024*1024 && dbSize > 300*1024*1024", 400.0 * MIB, 200.0 * MIB, 0.0, true),
            ("dbSizeFree > 100*1024*1024 && dbSize > 300*1024*1024", 250.0 * MIB, 50.0 * MIB, 0.0, false),
            ("!(dbSize < 10) && 2 + 3 * 4 == 14", 10.0, 1.0, 1.0, true),
            ("10 - 3 - 2 == 5", 1.0, 1.0, 1.0, true),
            ("true", 1.0, 1.0, 1.0, true),
        ] {
            let read = Rule::parse(rule).unwrap();
            let v = Variables { db_size: size, db_size_in_use: in_use, db_quota: quota };
            assert_eq!(read.holds(&v), answer, "{rule} with {v:?}");
        }
    }

    #[test]
    fn what_is_no_rule_is_named_with_its_place() {
        for (text, reason) in [
            ("", "missing"),
            ("dbSize >", "missing"),
            ("dbSize dbQuota", "operator"),
            ("(dbSize > 1", ")"),
            ("dbsize > 1", "unknown word \"dbsize\""),
            ("1 > 2 ; rm", "operator"),
        ] {
            let error = Rule::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
        assert!(Rule::parse(&"(".repeat(100_000)).is_err());
        assert!(Rule::parse(&"!".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[dbSizeInUsQuotag0-9.<>=!&|()*/%+ -]{0,60}") {
            let _ = Rule::parse(&text);
        }
    }
}
