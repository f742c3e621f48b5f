// Colors for templates, which mdBook's highlighter does not know: their tags and variables inside of HTML.
(function () {
    'use strict';

    const names = ['jinja', 'django', 'twig', 'erb'];

    function template(hljs) {
        const inside = [
            hljs.QUOTE_STRING_MODE,
            hljs.APOS_STRING_MODE,
            hljs.C_NUMBER_MODE,
            { className: 'attr', begin: /\b[a-z]+(?=\s*=[^=])/ },
        ];
        const word = {
            className: 'keyword',
            begin: /[a-z_]+/,
            starts: { endsWithParent: true, keywords: 'and or not in is if else do with import as', contains: inside },
        };
        return {
            subLanguage: 'xml',
            contains: [
                hljs.COMMENT(/\{#/, /#\}/),
                hljs.COMMENT(/<%#/, /%>/),
                { className: 'template-variable', begin: /\{\{[-+]?|<%=/, end: /[-+]?\}\}|%>/, contains: inside },
                { className: 'template-tag', begin: /\{%[-+]?|<%[-+]?/, end: /[-+]?%\}|[-+]?%>/, contains: [word] },
            ],
        };
    }

    if (typeof hljs === 'undefined') {
        return;
    }
    names.forEach(name => hljs.registerLanguage(name, template));
    const blocks = names.map(name => 'code.language-' + name).join(', ');
    document.querySelectorAll(blocks).forEach(block => hljs.highlightBlock(block));
})();
