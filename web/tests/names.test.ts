import { expect, test } from "vitest";
import { shortName } from "../src/core/names.ts";

test.each([
    ["short<int>(char)", "short<int>(char)"],
    ["std::vector<std::string, std::allocator<std::string>>::push_back(std::string const&)", "std::vector<…>::push_back(…)"],
    ["std::_Rb_tree<int, std::pair<int const, char>, std::less<int>>::_M_insert_node(int)", "std::_Rb_tree<…>::_M_insert_node(int)"],
    ["<alloc::vec::Vec<alloc::string::String> as core::clone::Clone>::clone", "<alloc::vec::Vec<…> as core::clone::Clone>::clone"],
    ["core::ptr::drop_in_place<alloc::collections::btree::map::BTreeMap<u32, u64>>", "core::ptr::drop_in_place<…>"],
    ["acme::(anonymous namespace)::Parser::parse(std::string_view, unsigned long)", "acme::(anonymous namespace)::Parser::parse(…)"],
    ["acme::Pool<acme::Node, 64>::operator<(acme::Pool<acme::Node, 64> const&) const", "acme::Pool<acme::Node, 64>::operator<(acme::Pool<acme::Node, 64> const&) const"],
    ["auto acme::visit<acme::Tree>(acme::Tree const&)::{lambda(acme::Node const&)#1}::call", "auto acme::visit<…>(…)::{lambda(…)#1}::call"],
    ["broken_name<that never closes its bracket, but is rather long", "broken_name<that never closes its bracket, but is rather long"],
    ["plain_c_function_name_that_is_longer_than_forty_characters", "plain_c_function_name_that_is_longer_than_forty_characters"],
])("%s → %s", (name, short) => expect(shortName(name)).toBe(short));

test("deeply nested brackets are no trouble", () => {
    const name = `f${"<a".repeat(20_000)}${">".repeat(20_000)}`;
    expect(shortName(name)).toBe("f<…>");
    expect(shortName("<".repeat(20_000) + ">".repeat(20_000)).length).toBeGreaterThan(0);
    expect(shortName("<".repeat(20_000)).length).toBeGreaterThan(0);
});
