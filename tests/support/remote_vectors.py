"""Ways in which HTML makes a browser ask another server for something, or run a script.

`URL` stands for the address to ask, `SCRIPT` for a script that asks it; both lack quotation marks.
"""

# What a browser asks for by itself.
LOADING = {
    "img": "<img src='URL'>",
    "img-srcset": "<img srcset='URL 1x, URL 2x'>",
    "picture": "<picture><source srcset='URL'><img alt=a></picture>",
    "image": "<image src='URL'>",
    "input-image": "<input type=image src='URL'>",
    "body-background": "<body background='URL'>",
    "td-background": "<table background='URL'><tr><td background='URL'>a</table>",
    "base": "<base href='URL/'><img src='a.png'>",
    "style-attribute": "<p style='background:url(URL)'>a",
    "style-list": "<li style='list-style-image:url(URL)'>a",
    "style-cursor": "<p style='cursor:url(URL),auto;height:2000px'>a",
    "style-border": "<p style='border:9px solid;border-image:url(URL) 9'>a",
    "style-image-set": "<p style='background:image-set(\"URL\" 1x)'>a",
    "style-escaped": "<p style='background:\\75rl(URL)'>a",
    "style-variable": "<p style='--a:url(URL);background:var(--a)'>a",
    "style-mask": "<p style='mask-image:url(URL)'>a",
    "style-shape": "<p style='float:left;shape-outside:url(URL)'>a",
    "style-element": "<style>p{background:url(URL)}</style><p>a",
    "style-content": "<style>p::before{content:url(URL)}</style><p>a",
    "style-import": "<style>@import 'URL';</style>",
    "style-import-url": "<style>@import url(URL) screen;</style>",
    "style-in-svg": "<svg><style>@import url(URL);</style></svg>",
    "font": "<style>@font-face{font-family:f;src:url(URL)}p{font-family:f}</style><p>a",
    "input-value": "<style>input[value^=a]{background:url(URL)}</style><input value=a>",
    "link-stylesheet": "<link rel=stylesheet href='URL'>",
    "link-data": "<link rel=stylesheet href='data:text/css,@import url(URL)'>",
    "link-in-body": "<p>a</p><link rel='stylesheet' href='URL'>",
    "link-preload-image": "<link rel=preload as=image href='URL'>",
    "link-preload-style": "<link rel=preload as=style href='URL'>",
    "link-preload-script": "<link rel=preload as=script href='URL'>",
    "link-preload-font": "<link rel=preload as=font crossorigin href='URL'>",
    "link-preload-fetch": "<link rel=preload as=fetch crossorigin href='URL'>",
    "link-modulepreload": "<link rel=modulepreload href='URL'>",
    "link-prefetch": "<link rel=prefetch href='URL'>",
    "link-icon": "<link rel=icon href='URL'>",
    "meta-refresh": "<meta http-equiv=refresh content='0;url=URL'>",
    "meta-refresh-late": "<p>a<meta http-equiv=Refresh content='0.2; URL'>",
    "iframe": "<iframe src='URL'></iframe>",
    "iframe-srcdoc": "<iframe srcdoc='<img src=URL>'></iframe>",
    "iframe-data": "<iframe src='data:text/html,<img src=URL>'></iframe>",
    "frameset": "<frameset><frame src='URL'></frameset>",
    "object": "<object data='URL'></object>",
    "object-html": "<object data='URL' type='text/html'></object>",
    "object-svg": '<object data=\'data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg">'
    '<image href="URL"/></svg>\'></object>',
    "embed": "<embed src='URL'>",
    "embed-html": "<embed src='URL' type='text/html'>",
    "svg-image": "<svg><image href='URL' width=9 height=9 /></svg>",
    "svg-image-xlink": "<svg><image xlink:href='URL' width=9 height=9 /></svg>",
    "svg-filter": "<svg><filter id=f><feImage href='URL'/></filter>"
    "<rect width=9 height=9 filter='url(#f)'/></svg>",
    "svg-foreign": "<svg><foreignObject width=9 height=9><img src='URL'></foreignObject></svg>",
    "video": "<video src='URL' autoplay muted></video>",
    "video-poster": "<video poster='URL'></video>",
    "video-source": "<video autoplay muted><source src='URL'></video>",
    "video-track": "<video crossorigin autoplay><track default kind=captions src='URL'></video>",
    "audio": "<audio src='URL' autoplay></audio>",
}

# What a browser only connects to, which tells as much to whoever has a host for each message.
CONNECTING = {
    "link-preconnect": "<link rel=preconnect href='URL'>",
    "link-preconnect-cors": "<link crossorigin rel=preconnect href='URL'>",
    "link-preconnect-odd": "<LINK/REL='preconnect'HREF='URL'>",
}

# What needs a script to run.
RUNNING = {
    "script": "<script>SCRIPT</script>",
    "script-src": "<script src='URL'></script>",
    "script-module": "<script type=module>import 'URL';</script>",
    "script-in-svg": "<svg><script>SCRIPT</script></svg>",
    "speculation-rules": "<script type=speculationrules>"
    '{"prefetch":[{"source":"list","urls":["URL"],"eagerness":"immediate"}]}</script>',
    "onload-of-body": "<body onload='SCRIPT'>",
    "onload-of-svg": "<svg onload='SCRIPT'>",
    "onload-of-style": "<style onload='SCRIPT'>p{}</style>",
    "onerror-of-img": "<img src=data: onerror='SCRIPT'>",
    "onfocus": "<input autofocus onfocus='SCRIPT'>",
    "ontoggle": "<details open ontoggle='SCRIPT'><summary>a</summary>b</details>",
    "onanimation": "<style>@keyframes k{}p{animation:k 1s}</style><p onanimationstart='SCRIPT'>a",
    "javascript-iframe": "<iframe src='javascript:SCRIPT'></iframe>",
    "srcdoc-script": "<iframe srcdoc='<script>SCRIPT</script>'></iframe>",
    "data-iframe-script": "<iframe src='data:text/html,<script>SCRIPT</script>'></iframe>",
    "data-object-script": "<object data='data:text/html,<script>SCRIPT</script>'></object>",
    "data-svg-script": '<embed src=\'data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg">'
    "<script>SCRIPT</script></svg>'>",
    "form-script": "<form action='URL'></form><script>document.forms[0].submit()</script>",
    "noscript": "<noscript><p title='</noscript><img src=data: onerror=SCRIPT>'></noscript>",
    "mutation": "<svg></p><style><a id='</style><img src=data: onerror=SCRIPT>'>",
}

# What happens when somebody clicks on it: each has one element with the class `target`.
CLICKED = {
    "form": "<form action='URL' method=post><button class=target>a</button></form>",
    "form-get": "<form action='URL'><button class=target>a</button></form>",
    "form-by-image": "<form action='URL'><input type=image class=target alt=a></form>",
    "form-javascript": "<form action='javascript:SCRIPT'><button class=target>a</button></form>",
    "formaction": "<form><button class=target formaction='URL'>a</button></form>",
    "javascript": "<a class=target href='javascript:SCRIPT'>a</a>",
    "javascript-spaced": "<a class=target href=' java&#10;script:SCRIPT'>a</a>",
    "javascript-svg": "<svg><a class=target href='javascript:SCRIPT'><text y=20>a</text></a></svg>",
    "onclick": "<p class=target onclick='SCRIPT'>a",
    "data": "<a class=target href='data:text/html,<script>SCRIPT</script>'>a</a>",
}


def with_url(html: str, url: str) -> str:
    """Return `html` so that it asks for `url`."""
    script = f"new/**/Image().src=`{url}`;console.log(`{url}`)"  # no spaces: no quotation marks
    return html.replace("SCRIPT", script).replace("URL", url)
