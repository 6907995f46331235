//! Ties a canister's methods to functions, and tells their Candid types.
//!
//! Canopy answers malformed arguments with a typed error instead of trapping, so its methods decode by themselves. The
//! attribute macros of `ic-cdk` can do that too, but then they forget the methods' types, and no test could compare
//! them with the Candid file.

/// Exports methods of a canister crate, which depends on `ic-cdk` and `candid`.
///
/// Each line names the kind, the exported name, a function in scope, the argument's type (or none) and the reply's type.
/// The function gets `Result<Argument, MalformedArguments>`, or nothing, and returns the reply: at once for `update`
/// and `query`, as a future for `async_update` and `async_query`. A method without argument ignores what it is sent.
///
/// The kinds that begin with `raw_` are for hot methods, see [`wire`](crate::wire): the function gets nothing, reads the
/// message and replies by itself, and the types are only told. It runs outside the executor of `ic-cdk`, which would cost
/// more than reading a record: it may not spawn.
///
/// In tests it also makes `interface()`, the Candid text of the service.
#[macro_export]
macro_rules! endpoints {
    (init($init:ty); $($kind:ident $export:literal $name:ident($($argument:ty)?) -> $reply:ty;)*) => {
        // Every type is used, also where it is only told.
        $(
            $(const _: Option<$argument> = None;)?
            const _: Option<$reply> = None;
        )*

        $(
            #[cfg(target_family = "wasm")]
            const _: () = {
                #[unsafe(export_name = $export)]
                extern "C" fn endpoint() {
                    $crate::endpoint_body!($kind $name($($argument)?) -> $reply)
                }
            };
        )*

        /// Tells the Candid text of the methods above.
        #[cfg(test)]
        pub fn interface() -> String {
            let mut container = ::candid::types::internal::TypeContainer::new();
            let init = container.add::<$init>();
            let mut methods = vec![$((
                stringify!($name).to_string(),
                ::candid::types::Type::from(::candid::types::TypeInner::Func(::candid::types::Function {
                    modes: $crate::endpoint_modes!($kind),
                    args: vec![$(container.add::<$argument>())?],
                    rets: vec![container.add::<$reply>()],
                })),
            )),*];
            methods.sort_by(|one, other| one.0.cmp(&other.0));
            let service = ::candid::types::Type::from(::candid::types::TypeInner::Service(methods));
            let class = ::candid::types::TypeInner::Class(vec![init], service);
            ::candid::pretty::candid::compile(&container.env, &Some(class.into()))
        }
    };
}

/// The inside of one exported method. Part of [`endpoints!`](crate::endpoints).
#[doc(hidden)]
#[macro_export]
macro_rules! endpoint_body {
    (update $name:ident($($argument:ty)?) -> $reply:ty) => {
        ::ic_cdk::futures::internals::in_executor_context(|| {
            let reply: $reply = $name($($crate::codec::decode::<$argument>(&::ic_cdk::api::msg_arg_data()))?);
            ::ic_cdk::api::msg_reply($crate::codec::encode(&reply));
        })
    };
    (query $name:ident($($argument:ty)?) -> $reply:ty) => {
        ::ic_cdk::futures::internals::in_query_executor_context(|| {
            let reply: $reply = $name($($crate::codec::decode::<$argument>(&::ic_cdk::api::msg_arg_data()))?);
            ::ic_cdk::api::msg_reply($crate::codec::encode(&reply));
        })
    };
    (raw_update $name:ident($($argument:ty)?) -> $reply:ty) => {
        $name()
    };
    (raw_query $name:ident($($argument:ty)?) -> $reply:ty) => {
        $name()
    };
    (raw_composite_query $name:ident($($argument:ty)?) -> $reply:ty) => {
        $name()
    };
    (async_update $name:ident($($argument:ty)?) -> $reply:ty) => {
        ::ic_cdk::futures::internals::in_executor_context(|| {
            ::ic_cdk::futures::spawn(async {
                let reply: $reply = $name($($crate::codec::decode::<$argument>(&::ic_cdk::api::msg_arg_data()))?).await;
                ::ic_cdk::api::msg_reply($crate::codec::encode(&reply));
            })
        })
    };
    (async_query $name:ident($($argument:ty)?) -> $reply:ty) => {
        ::ic_cdk::futures::internals::in_query_executor_context(|| {
            ::ic_cdk::futures::spawn(async {
                let reply: $reply = $name($($crate::codec::decode::<$argument>(&::ic_cdk::api::msg_arg_data()))?).await;
                ::ic_cdk::api::msg_reply($crate::codec::encode(&reply));
            })
        })
    };
}

/// The Candid annotation of a kind of method. Part of [`endpoints!`](crate::endpoints).
#[doc(hidden)]
#[macro_export]
macro_rules! endpoint_modes {
    (update) => {
        vec![]
    };
    (async_update) => {
        vec![]
    };
    (raw_update) => {
        vec![]
    };
    (raw_query) => {
        vec![::candid::types::FuncMode::Query]
    };
    (raw_composite_query) => {
        vec![::candid::types::FuncMode::CompositeQuery]
    };
    (query) => {
        vec![::candid::types::FuncMode::Query]
    };
    (async_query) => {
        vec![::candid::types::FuncMode::CompositeQuery]
    };
}
