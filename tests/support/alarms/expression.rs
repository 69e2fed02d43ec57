//! CloudWatch's metric math, as far as the template uses it: numbers, names, arithmetic, comparisons and `IF`. As there, an expression has
//! no value where one of its metrics has none.

use std::collections::BTreeMap;

/// The value of an expression for one period.
///
/// # Panics
/// When it is not one of ours: a template that needs more has to be judged by more.
pub(super) fn value(expression: &str, metrics: &BTreeMap<String, Option<f64>>) -> Option<f64> {
    let mut parser = Parser { tokens: tokens(expression), at: 0, metrics };
    let value = parser.comparison();
    assert_eq!(parser.at, parser.tokens.len(), "{expression}");
    value
}

fn tokens(expression: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    for c in expression.chars() {
        match tokens.last_mut() {
            Some(last) if is_word(c) && last.chars().all(is_word) => last.push(c),
            Some(last) if c == '=' && matches!(last.as_str(), "<" | ">") => last.push(c),
            _ => tokens.push(c.to_string()),
        }
    }
    tokens.retain(|token| token != " ");
    tokens
}

struct Parser<'a> {
    tokens: Vec<String>,
    at: usize,
    metrics: &'a BTreeMap<String, Option<f64>>,
}

impl Parser<'_> {
    fn next(&mut self) -> String {
        self.at += 1;
        self.tokens.get(self.at - 1).cloned().unwrap_or_default()
    }

    /// The next token where it is one of these.
    fn take(&mut self, one_of: &[&str]) -> Option<String> {
        let found = self.tokens.get(self.at).filter(|token| one_of.contains(&token.as_str()))?.clone();
        self.at += 1;
        Some(found)
    }

    fn expect(&mut self, token: &str) {
        assert!(self.take(&[token]).is_some(), "{:?} has no {token} at {}", self.tokens, self.at);
    }

    fn comparison(&mut self) -> Option<f64> {
        let left = self.sum();
        let Some(operator) = self.take(&["<", "<=", ">", ">="]) else { return left };
        let right = self.sum();
        let (left, right) = (left?, right?);
        let holds = match operator.as_str() {
            "<" => left < right,
            "<=" => left <= right,
            ">" => left > right,
            _ => left >= right,
        };
        Some(f64::from(u8::from(holds)))
    }

    fn sum(&mut self) -> Option<f64> {
        let mut value = self.product();
        while let Some(operator) = self.take(&["+", "-"]) {
            let right = self.product();
            value = value.zip(right).map(|(left, right)| if operator == "+" { left + right } else { left - right });
        }
        value
    }

    fn product(&mut self) -> Option<f64> {
        let mut value = self.operand();
        while let Some(operator) = self.take(&["*", "/"]) {
            let right = self.operand();
            value = value.zip(right).map(|(left, right)| if operator == "*" { left * right } else { left / right });
        }
        value
    }

    fn operand(&mut self) -> Option<f64> {
        match self.next().as_str() {
            "(" => {
                let value = self.comparison();
                self.expect(")");
                value
            }
            "IF" => {
                self.expect("(");
                let condition = self.comparison();
                self.expect(",");
                let then = self.comparison();
                self.expect(",");
                let otherwise = self.comparison();
                self.expect(")");
                if condition? == 0.0 { otherwise } else { then }
            }
            name => match name.parse() {
                Ok(number) => Some(number),
                Err(_) => *self.metrics.get(name).unwrap_or_else(|| panic!("no metric has the id {name}")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_few_says_nothing_and_one_of_unknown_parts_has_no_value() {
        let share = "IF(scanned + unscanned >= 20, 100 * unscanned / (scanned + unscanned), 0)";
        let of = |scanned: Option<f64>, unscanned: Option<f64>| {
            value(share, &[("scanned".to_owned(), scanned), ("unscanned".to_owned(), unscanned)].into())
        };
        assert_eq!(of(Some(15.0), Some(5.0)), Some(25.0));
        assert_eq!(of(Some(0.0), Some(19.0)), Some(0.0));
        assert_eq!(of(Some(0.0), Some(20.0)), Some(100.0));
        assert_eq!(of(None, Some(20.0)), None);
        assert_eq!(value("2 * 3 - 4 / 2 < 5", &BTreeMap::new()), Some(1.0));
    }
}
