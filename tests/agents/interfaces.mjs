// The parts of the interfaces of the management canister and of a router that are used here.

import { IDL } from "@icp-sdk/core/candid";

export const management = () =>
  IDL.Service({
    provisional_create_canister_with_cycles: IDL.Func(
      [
        IDL.Record({
          amount: IDL.Opt(IDL.Nat),
          settings: IDL.Opt(IDL.Record({ controllers: IDL.Opt(IDL.Vec(IDL.Principal)) })),
        }),
      ],
      [IDL.Record({ canister_id: IDL.Principal })],
      [],
    ),
    install_code: IDL.Func(
      [
        IDL.Record({
          mode: IDL.Variant({ install: IDL.Null }),
          canister_id: IDL.Principal,
          wasm_module: IDL.Vec(IDL.Nat8),
          arg: IDL.Vec(IDL.Nat8),
        }),
      ],
      [],
      [],
    ),
  });

const bytes = IDL.Vec(IDL.Nat8);
const page = IDL.Record({ records: IDL.Vec(IDL.Record({ key: bytes, value: bytes })), cursor: IDL.Opt(bytes) });
const key = IDL.Record({ key: IDL.Vec(IDL.Nat8) });
const record = IDL.Record({ value: IDL.Vec(IDL.Nat8), version: IDL.Nat64 });
// What an error holds is of no interest: none is expected.
const result = (ok) => IDL.Variant({ Ok: ok, Err: IDL.Reserved });

const role = IDL.Variant({ Reader: IDL.Null, Writer: IDL.Null, Administrator: IDL.Null });
const grant = IDL.Record({ grantee: IDL.Opt(IDL.Principal), role, prefix: IDL.Opt(bytes) });

export const initArguments = IDL.Record({ writers: IDL.Opt(IDL.Vec(IDL.Principal)) });

export const router = () =>
  IDL.Service({
    put: IDL.Func(
      [IDL.Record({ key: IDL.Vec(IDL.Nat8), value: IDL.Vec(IDL.Nat8) })],
      [result(IDL.Record({ version: IDL.Nat64 }))],
      [],
    ),
    get: IDL.Func([key], [result(IDL.Opt(record))], []),
    get_query: IDL.Func([key], [result(IDL.Opt(record))], ["query"]),
    scan: IDL.Func([IDL.Record({ cursor: IDL.Opt(bytes), records_max: IDL.Opt(IDL.Nat32) })], [result(page)], []),
    grant: IDL.Func([grant], [result(IDL.Null)], []),
    status: IDL.Func([], [result(IDL.Record({ ready: IDL.Bool }))], ["query"]),
  });
