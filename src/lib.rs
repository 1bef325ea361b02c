pub fn main_() {}
